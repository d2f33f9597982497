//! Hashes as they are stored, read and bounded before any work is done on them.

use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version, password_hash::phc};
use bcrypt::HashParts;
use sso_core::{
    ports::{HashError, Match},
    values::{Password, PasswordHash},
};

use super::{
    argon::{self, Memory, OUTPUT_BYTES, SALT_BYTES},
    schedule::Weight,
};

/// Longer than any hash that we read.
const MAX_ENCODED: usize = 512;
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// A stored hash that was read.
pub(super) enum StoredHash {
    Argon2 {
        argon2: Argon2<'static>,
        salt: phc::Salt,
        output: phc::Output,
        /// Whether a new hash would be made in the same way.
        is_current: bool,
    },
    Bcrypt {
        encoded: String,
        cost: u32,
    },
}

impl StoredHash {
    /// Reads a hash; `current` is how new ones are made.
    pub(super) fn read(hash: &PasswordHash, current: &Argon2<'_>) -> Result<Self, HashError> {
        let encoded = hash.as_str();
        if encoded.len() > MAX_ENCODED {
            return Err(HashError::Unreadable("longer than any hash"));
        }
        match encoded.get(..4) {
            Some("$2a$" | "$2b$" | "$2y$") => read_bcrypt(encoded),
            _ if encoded.starts_with("$argon2") => read_argon2(encoded, current),
            _ => Err(HashError::Unreadable("neither argon2 nor bcrypt")),
        }
    }

    /// Whether it needs more memory than new hashes do.
    pub(super) fn weight(&self, current: &Argon2<'_>) -> Weight {
        match self {
            Self::Argon2 { argon2, .. } if argon2.params().m_cost() > current.params().m_cost() => {
                Weight::Heavy
            }
            Self::Argon2 { .. } | Self::Bcrypt { .. } => Weight::Normal,
        }
    }

    /// `argon2id` or `bcrypt`, for the metrics; the rare argon2i and argon2d count as `argon2id`.
    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Argon2 { .. } => "argon2id",
            Self::Bcrypt { .. } => "bcrypt",
        }
    }

    /// About how long it takes to verify a password against it: as measured on one core of 2025, argon2 0.5 us
    /// for each KiB of each pass, bcrypt 64 us for each of its 2^cost rounds. bcrypt twice: a password
    /// whose normalised form is another is tried in both.
    pub(super) fn takes(&self) -> Duration {
        match self {
            Self::Argon2 { argon2, .. } => takes(argon2.params()),
            Self::Bcrypt { cost, .. } => 2 * Duration::from_micros(64) * (1 << cost),
        }
    }

    /// Whether `password` has this hash. Blocks for as long as a hash takes.
    pub(super) fn verify(
        &self,
        memory: &mut Memory,
        password: &Password,
    ) -> Result<Match, HashError> {
        let (matches, is_current) = match self {
            Self::Argon2 {
                argon2,
                salt,
                output,
                is_current,
            } => {
                let bytes = password.normalised().as_bytes();
                let matches = argon::verify(argon2, memory, bytes, salt, output.as_bytes())?;
                (matches, *is_current)
            }
            Self::Bcrypt { encoded, cost } => {
                (super::bcrypt::verify(encoded, *cost, password)?, false)
            }
        };
        Ok(match (matches, is_current) {
            (false, _) => Match::No,
            (true, true) => Match::Yes,
            (true, false) => Match::YesOutdated,
        })
    }
}

/// About how long argon2 takes with these parameters.
pub(super) fn takes(params: &Params) -> Duration {
    Duration::from_nanos(500) * params.m_cost() * params.t_cost()
}

fn read_bcrypt(encoded: &str) -> Result<StoredHash, HashError> {
    let parts: HashParts = encoded
        .parse()
        .map_err(|_| HashError::Unreadable("malformed bcrypt hash"))?;
    let cost = parts.get_cost();
    if !BCRYPT_COSTS.contains(&cost) {
        return Err(HashError::Unreadable("bcrypt cost outside of 4 to 14"));
    }
    Ok(StoredHash::Bcrypt {
        encoded: encoded.to_owned(),
        cost,
    })
}

fn read_argon2(encoded: &str, current: &Argon2<'_>) -> Result<StoredHash, HashError> {
    const MALFORMED: HashError = HashError::Unreadable("malformed argon2 hash");
    let phc = phc::PasswordHash::new(encoded).map_err(|_| MALFORMED)?;
    let (Some(salt), Some(output)) = (phc.salt, phc.hash) else {
        return Err(MALFORMED);
    };
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| MALFORMED)?;
    // Without a version it is of the time before there was one (the reference implementation's
    // decode_string).
    let version = phc.version.unwrap_or(Version::V0x10.into());
    let version = Version::try_from(version).map_err(|_| MALFORMED)?;
    let params = Params::try_from(&phc).map_err(|_| MALFORMED)?;
    argon::within_bounds(&params).map_err(HashError::Unreadable)?;
    let is_current = algorithm == Algorithm::Argon2id
        && version == Version::V0x13
        && params == *current.params()
        && output.len() == OUTPUT_BYTES
        && salt.len() >= SALT_BYTES;
    Ok(StoredHash::Argon2 {
        argon2: Argon2::new(algorithm, version, params),
        salt,
        output,
        is_current,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Argon2Params, *};

    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo";
    const BCRYPT: &str = "$2a$10$thBhIpjEmH22GNr9dxhbbeMwnG16sIATjtNR6vahFUhy7wf0r58NC";

    /// One number of a good hash is another, or anything stands anywhere.
    fn spoilt() -> impl Strategy<Value = String> {
        let parameters = (any::<u32>(), any::<u32>(), any::<u32>())
            .prop_map(|(m, t, p)| ARGON2.replace("m=19456,t=2,p=1", &format!("m={m},t={t},p={p}")));
        let cost = any::<u8>().prop_map(|cost| BCRYPT.replace("$10$", &format!("${cost:02}$")));
        let anywhere = (any::<bool>(), any::<prop::sample::Index>(), any::<char>());
        let anywhere = anywhere.prop_map(|(first, at, with)| {
            let good = if first { ARGON2 } else { BCRYPT };
            let at = at.index(good.len());
            format!("{}{with}{}", &good[..at], &good[at + 1..])
        });
        prop_oneof![any::<String>(), parameters, cost, anywhere]
    }

    #[test]
    fn what_a_hash_takes_follows_from_its_parameters() {
        let current = Argon2Params::default().argon2id().unwrap();
        let bcrypt = |cost: u32| BCRYPT.replace("$10$", &format!("${cost}$"));
        let dear = ARGON2.replace("m=19456,t=2", "m=262144,t=10");
        for (encoded, millis) in [
            (ARGON2.to_owned(), 15..25),
            (dear, 1_000..2_000),
            (bcrypt(10), 100..200),
            (bcrypt(11), 250..300),
            (bcrypt(14), 2_000..2_200),
        ] {
            let read = StoredHash::read(&PasswordHash::new(encoded.clone()), &current).unwrap();
            assert!(millis.contains(&read.takes().as_millis()), "{encoded}");
        }
    }

    proptest! {
        /// Nothing is verified: what is read is only judged by what it would cost.
        #[test]
        fn whatever_is_stored_costs_what_is_bounded_or_is_not_read(encoded in spoilt()) {
            let current = Argon2Params::default().argon2id().unwrap();
            match StoredHash::read(&PasswordHash::new(encoded), &current) {
                Ok(StoredHash::Argon2 { argon2, .. }) => {
                    prop_assert!(argon2.params().m_cost() <= 262_144);
                    prop_assert!(argon2.params().t_cost() <= 10);
                    prop_assert!(argon2.params().p_cost() <= 4);
                }
                Ok(StoredHash::Bcrypt { cost, .. }) => prop_assert!((4..=14).contains(&cost)),
                Err(_) => {}
            }
        }
    }
}
