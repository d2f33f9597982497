//! A revocation as it stands in the stream: readable fields, and a seal over all of them.

use std::str;

use sso_core::{
    ports::store::{Effect, Revocation, Revoked, Stamp},
    values::{SessionId, UserId, Version},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Digest;

/// The fields, in this order.
const FIELDS: [&str; 9] = [
    "id", "timeline", "xid", "kind", "subject", "below", "until", "effect", "seal",
];
/// What is sealed begins with it.
const VERSION: &str = "sso revocation 1";

/// Fields and values, as XADD takes them; `None` for what no instance obeys by a hint.
pub(crate) fn encode(entry: &Revocation, seal: &Digest) -> Option<Vec<(&'static str, String)>> {
    let values = values(entry)?;
    let sealed = sealed(&values, seal);
    Some(
        FIELDS
            .into_iter()
            .zip(values.into_iter().chain([sealed]))
            .collect(),
    )
}

/// What stands in the stream, if somebody who has the key wrote it.
pub(crate) fn decode(fields: &[Vec<u8>], seal: &Digest) -> Option<Revocation> {
    if fields.len() != 2 * FIELDS.len() {
        return None;
    }
    let mut values = Vec::with_capacity(FIELDS.len());
    for (pair, name) in fields.chunks_exact(2).zip(FIELDS) {
        if pair[0] != name.as_bytes() {
            return None;
        }
        values.push(str::from_utf8(&pair[1]).ok()?);
    }
    let (given, values) = values.split_last()?;
    let entry = parse(values)?;
    // Only what we would write ourselves: one entry has one text.
    let canonical = self::values(&entry)?;
    let ours = sealed(&canonical, seal);
    (is_equal(given.as_bytes(), ours.as_bytes()) && canonical == values).then_some(entry)
}

fn values(entry: &Revocation) -> Option<[String; 8]> {
    let (kind, subject, below) = match entry.revoked {
        Revoked::Session(session) => ("session", session.as_uuid(), Version::ZERO),
        Revoked::TokensBelow(user, below) => ("user", user.as_uuid(), below),
        Revoked::Key(_) => return None,
    };
    Some([
        entry.id.to_string(),
        entry.stamp.timeline.to_string(),
        entry.stamp.xid.to_string(),
        kind.to_owned(),
        subject.to_string(),
        below.get().to_string(),
        micros(entry.until).to_string(),
        entry.effect.map_or("", Effect::as_str).to_owned(),
    ])
}

fn parse(values: &[&str]) -> Option<Revocation> {
    let [id, timeline, xid, kind, subject, below, until, effect] = values else {
        return None;
    };
    let subject: Uuid = subject.parse().ok()?;
    let until: i64 = until.parse().ok()?;
    Some(Revocation {
        id: id.parse().ok()?,
        revoked: match *kind {
            "session" => Revoked::Session(SessionId::from_uuid(subject)),
            "user" => {
                let below = Version::new(below.parse().ok()?);
                Revoked::TokensBelow(UserId::from_uuid(subject), below)
            }
            _ => return None,
        },
        effect: match *effect {
            "" => None,
            effect => Some(Effect::parse(effect)?),
        },
        until: OffsetDateTime::from_unix_timestamp_nanos(i128::from(until) * 1_000).ok()?,
        stamp: Stamp {
            timeline: timeline.parse().ok()?,
            xid: xid.parse().ok()?,
        },
    })
}

/// In hex. Lengths stand before values: no two entries give the same bytes.
fn sealed(values: &[String; 8], seal: &Digest) -> String {
    let mut bytes = VERSION.as_bytes().to_vec();
    for value in values {
        bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    format!("{:032x}", u128::from_be_bytes(seal(&bytes)))
}

/// Rounded up: nothing is forgotten before its end.
fn micros(time: OffsetDateTime) -> i64 {
    let nanos = time.unix_timestamp_nanos();
    i64::try_from(-(-nanos).div_euclid(1_000)).unwrap_or(i64::MAX)
}

/// In a time that tells nothing of where they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use std::{collections::hash_map::DefaultHasher, hash::Hasher, sync::Arc};

    use time::macros::datetime;

    use super::*;

    fn seal(key: u8) -> Digest {
        Arc::new(move |bytes| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(key);
            hasher.write(bytes);
            u128::from(hasher.finish()).to_be_bytes()
        })
    }

    fn entry(revoked: Revoked, effect: Option<Effect>) -> Revocation {
        Revocation {
            id: 7,
            revoked,
            effect,
            until: datetime!(2026-01-01 00:00:00.000001 UTC),
            stamp: Stamp {
                timeline: 3,
                xid: u64::MAX,
            },
        }
    }

    fn written(entry: &Revocation) -> Vec<Vec<u8>> {
        let fields = encode(entry, &seal(1)).unwrap();
        let flat = fields
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value]);
        flat.map(String::into_bytes).collect()
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let session = Revoked::Session(SessionId::from_uuid(Uuid::from_u128(1)));
        let user = UserId::from_uuid(Uuid::from_u128(2));
        let tokens = Revoked::TokensBelow(user, Version::new(9));
        for revoked in [session, tokens] {
            for effect in Effect::ALL.map(Some).into_iter().chain([None]) {
                let entry = entry(revoked, effect);
                assert_eq!(decode(&written(&entry), &seal(1)), Some(entry));
            }
        }
    }

    #[test]
    fn what_was_changed_or_sealed_by_another_is_no_entry() {
        let user = UserId::from_uuid(Uuid::from_u128(2));
        let entry = entry(Revoked::TokensBelow(user, Version::new(9)), None);
        let good = written(&entry);
        assert_eq!(decode(&good, &seal(2)), None);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at].push(b'1');
            assert_eq!(decode(&bad, &seal(1)), None, "{at}");
            bad[at].clear();
            if !good[at].is_empty() {
                assert_eq!(decode(&bad, &seal(1)), None, "{at}");
            }
        }
        assert_eq!(decode(&good[..16], &seal(1)), None);
        assert_eq!(decode(&[], &seal(1)), None);
        let mut leading = good;
        leading[1].insert(0, b'0');
        assert_eq!(decode(&leading, &seal(1)), None);
    }
}
