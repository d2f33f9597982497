//! What a failover lost and this process still holds.

use std::collections::{BTreeMap, HashSet};

use sso_core::{
    ports::store::{Effect, Revocation, Revoked},
    values::{UserId, Version},
};
use tokio_postgres::{Statement, Transaction};
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

/// Writes back what `timeline` has [lost](lacking), and does to users and sessions again what the
/// entries say. In the transaction of the registration: whoever loads after it has it all.
pub(super) async fn write_back(
    tx: &Transaction<'_>,
    timeline: u32,
    lost: Vec<Revocation>,
) -> Result<(), LeaseError> {
    if lost.is_empty() {
        return Ok(());
    }
    let written = insert(tx, &lost).await?;
    let (sessions, users) = sorted(lost, &written);
    tx.execute(statements::END_SESSIONS, &[&sessions]).await?;
    do_again(tx, &users).await?;
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

/// What `timeline` lacks of what is held. Only what was committed before it can have been lost by it.
pub(super) async fn lacking(
    tx: &Transaction<'_>,
    lacks: &Statement,
    timeline: u32,
    mut held: Vec<Revocation>,
) -> Result<Vec<Revocation>, LeaseError> {
    held.retain(|entry| entry.stamp.timeline < timeline);
    if held.is_empty() {
        return Ok(held);
    }
    let (ids, untils): (Vec<i64>, Vec<_>) =
        held.iter().map(|entry| (entry.id, entry.until)).unzip();
    let rows = tx.query(lacks, &[&ids, &untils]).await?;
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

/// For all at once: however many there are, it has the time of one beat.
async fn do_again(tx: &Transaction<'_>, users: &BTreeMap<UserId, Lost>) -> Result<(), LeaseError> {
    let ids: Vec<Uuid> = users.keys().map(UserId::as_uuid).collect();
    tx.query(statements::LOCK_USERS, &[&ids]).await?;
    let below: Vec<i64> = users
        .values()
        .map(|lost| codec::number(lost.below))
        .collect();
    for (user, lost) in users {
        if !lost.effects.contains(&Effect::Delete) {
            continue;
        }
        tracing::error!(
            user_id = %user,
            "a failover lost that a user was deleted: he is disabled, delete him again"
        );
    }
    tx.execute(
        statements::DO_AGAIN,
        &[
            &ids,
            &below,
            &flags(users, &[Effect::Password, Effect::Delete]),
            &flags(users, &[Effect::Disable, Effect::Delete]),
            &flags(users, &[Effect::Admin, Effect::Delete]),
        ],
    )
    .await?;
    let entries: Vec<i64> = users.values().flat_map(|lost| lost.ids.clone()).collect();
    tx.execute(statements::RAISE, &[&entries]).await?;
    Ok(())
}

/// Of each user, whether any of these was lost.
fn flags(users: &BTreeMap<UserId, Lost>, effects: &[Effect]) -> Vec<bool> {
    let any = |lost: &Lost| effects.iter().any(|effect| lost.effects.contains(effect));
    users.values().map(any).collect()
}
