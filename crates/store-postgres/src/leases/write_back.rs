//! What a failover lost and this process still holds.

use std::collections::{BTreeMap, HashSet};

use sso_core::{
    ports::store::{Effect, Revocation, Revoked},
    values::{UserId, Version},
};
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{
    codec::{self, Columns},
    error::LeaseError,
    metrics, statements,
};

/// What entries about one user say together.
#[derive(Debug, Default)]
struct Lost {
    ids: Vec<i64>,
    below: Version,
    effects: HashSet<Effect>,
}

/// Writes back what `timeline` lacks of what is held, and does to users and sessions again what
/// the entries say. In the transaction of the registration: whoever loads after it has it all.
pub(super) async fn write_back(
    tx: &Transaction<'_>,
    timeline: u32,
    held: Vec<Revocation>,
) -> Result<(), LeaseError> {
    let lost = lacking(tx, timeline, held).await?;
    if lost.is_empty() {
        return Ok(());
    }
    let written = insert(tx, &lost).await?;
    let (sessions, users) = sorted(lost, &written);
    tx.execute(statements::END_SESSIONS, &[&sessions]).await?;
    let ids: Vec<Uuid> = users.keys().map(UserId::as_uuid).collect();
    tx.query(statements::LOCK_USERS, &[&ids]).await?;
    for (user, lost) in &users {
        do_again(tx, *user, lost).await?;
    }
    metrics::written_back(written.len());
    if !written.is_empty() {
        tracing::warn!(
            entries = written.len(),
            users = users.len(),
            timeline,
            "a failover had lost revocations: they are written back"
        );
    }
    Ok(())
}

/// Only what was committed before this timeline can have been lost by it.
async fn lacking(
    tx: &Transaction<'_>,
    timeline: u32,
    mut held: Vec<Revocation>,
) -> Result<Vec<Revocation>, LeaseError> {
    held.retain(|entry| entry.stamp.timeline < timeline);
    if held.is_empty() {
        return Ok(held);
    }
    let (ids, untils): (Vec<i64>, Vec<_>) =
        held.iter().map(|entry| (entry.id, entry.until)).unzip();
    let rows = tx.query(statements::LACKS, &[&ids, &untils]).await?;
    let lacking: HashSet<i64> = rows
        .iter()
        .map(|row| codec::get(row, "id"))
        .collect::<Result<_, _>>()?;
    held.retain(|entry| lacking.contains(&entry.id));
    Ok(held)
}

/// The ids that nobody else has written back meanwhile.
async fn insert(tx: &Transaction<'_>, lost: &[Revocation]) -> Result<HashSet<i64>, LeaseError> {
    let mut columns = Columns::default();
    for entry in lost {
        columns.push(entry);
    }
    let rows = tx
        .query(
            statements::WRITE_BACK,
            &[
                &columns.ids,
                &columns.kinds,
                &columns.subjects,
                &columns.versions,
                &columns.effects,
                &columns.untils,
            ],
        )
        .await?;
    rows.iter().map(|row| codec::get(row, "id")).collect()
}

fn sorted(lost: Vec<Revocation>, written: &HashSet<i64>) -> (Vec<Uuid>, BTreeMap<UserId, Lost>) {
    let mut sessions = Vec::new();
    let mut users: BTreeMap<UserId, Lost> = BTreeMap::new();
    for entry in lost {
        if !written.contains(&entry.id) {
            continue;
        }
        match entry.revoked {
            Revoked::Session(session) => sessions.push(session.as_uuid()),
            Revoked::TokensBelow(user, below) => {
                let lost = users.entry(user).or_default();
                lost.ids.push(entry.id);
                lost.below = lost.below.max(below);
                lost.effects.extend(entry.effect);
            }
            // Its tag does not lead back to its name.
            Revoked::Key(_) => tracing::error!(
                "a failover lost that a signing key was retired: retire it again (sso keys list)"
            ),
        }
    }
    (sessions, users)
}

async fn do_again(tx: &Transaction<'_>, user: UserId, lost: &Lost) -> Result<(), LeaseError> {
    let has = |effect| lost.effects.contains(&effect);
    let deleted = has(Effect::Delete);
    if deleted {
        tracing::error!(
            user_id = %user,
            "a failover lost that a user was deleted: he is disabled, delete him again"
        );
    }
    let locked = has(Effect::Password) || deleted;
    let row = tx
        .query_opt(
            statements::DO_AGAIN,
            &[
                &user.as_uuid(),
                &codec::number(lost.below),
                &locked,
                &(has(Effect::Disable) || deleted),
                &(has(Effect::Admin) || deleted),
            ],
        )
        .await?;
    // No row: the failover lost the user too.
    let Some(row) = row else { return Ok(()) };
    let version: i64 = codec::get(&row, "version")?;
    tx.execute(statements::RAISE, &[&lost.ids, &version])
        .await?;
    Ok(())
}
