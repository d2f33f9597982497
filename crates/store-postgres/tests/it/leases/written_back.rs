//! What a failover has lost and an instance still holds.

use anyhow::{Context, Result, ensure};
use sso_core::{
    ports::{
        TokenRefused,
        store::{Effect, Revoked},
    },
    values::{UserId, Version},
};
use uuid::Uuid;

use super::{
    failover::{SOON, World, back},
    instance::{a_session, fresh_uuid},
    world::Database,
};

/// A user as a test needs him: nobody but the columns matters.
async fn user(database: &Database, id: UserId) -> Result<()> {
    let insert = "insert into users (id, email, email_canonical, email_verified, password_hash,
                                     is_admin, disabled, version, sessions_from, created_at)
                  values ($1, $2, $2, false, 'old', true, false, 4294967297, 0, now())";
    let email = format!("{}@example.com", id.as_uuid().simple());
    let inserted = database
        .sql
        .execute(insert, &[&id.as_uuid(), &email])
        .await?;
    ensure!(inserted == 1);
    Ok(())
}

/// What is left of him.
async fn stands(database: &Database, id: UserId) -> Result<(String, bool, bool, i64, i64)> {
    let row = database
        .sql
        .query_opt(
            "select password_hash, disabled, is_admin, version, sessions_from
             from users where id = $1",
            &[&id.as_uuid()],
        )
        .await?
        .context("he is gone")?;
    Ok((row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
}

#[tokio::test]
async fn what_a_lost_entry_did_to_its_user_is_done_again_once() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let there = [(); 6].map(|()| UserId::from_uuid(fresh_uuid()));
    for id in there {
        user(&world.database, id).await?;
    }
    let [changed, disabled, demoted, ended, deleted, renewed] = there;
    let [one, other] = world.instances().await?;
    let standby = &world.pair.replicas[0].node;
    standby.caught_up_with(&world.pair.primary).await?;
    world.stop_shipping().await?;
    // The failover loses this one himself.
    let lost = UserId::from_uuid(fresh_uuid());
    user(&world.database, lost).await?;
    let below = Version::new((1 << 32) + 9);
    for (id, effect) in [
        (changed, Effect::Password),
        (disabled, Effect::Disable),
        (demoted, Effect::Admin),
        (ended, Effect::Sessions),
        (deleted, Effect::Delete),
        (lost, Effect::Disable),
        (renewed, Effect::Password),
        (renewed, Effect::Admin),
    ] {
        let entry = one
            .store(Revoked::TokensBelow(id, below), Some(effect))
            .await?;
        one.announce(entry).await;
    }
    other.beat().await?;
    world.fail_over().await?;
    // On the new timeline he has changed his password, and got his role, before anybody came.
    let again = "insert into revocations (kind, subject, version, effect, until)
                 select 'user', $1, 1, unnest(array['password', 'admin']), '2100-01-01'";
    let renewed_id = renewed.as_uuid();
    world.database.sql.execute(again, &[&renewed_id]).await?;

    back(&one, 2).await?;
    let mut after = Vec::new();
    for id in there {
        after.push(stands(&world.database, id).await?);
    }
    let told: Vec<_> = after
        .iter()
        .map(|(hash, disabled, admin, ..)| (hash.as_str(), *disabled, *admin))
        .collect();
    assert_eq!(
        told,
        [
            ("!", false, true),
            ("old", true, true),
            ("old", false, false),
            ("old", false, true),
            ("!", true, false),
            ("old", false, true),
        ]
    );
    for (.., version, sessions_from) in &after {
        // Above what the lost timeline gave and what the entry says.
        assert!(*version >= 2 << 32, "{version}");
        assert_eq!(version, sessions_from);
    }
    let raised = "select count(*) from revocations where version >= 2::bigint << 32";
    assert_eq!(world.database.number(raised).await?, 7);

    // The other one held it all too.
    back(&other, 2).await?;
    for (id, before) in there.into_iter().zip(after) {
        assert_eq!(stands(&world.database, id).await?, before);
    }
    Ok(())
}

/// It had ended; what it did may have been undone since, and must not be done again.
#[tokio::test]
async fn what_was_swept_is_not_taken_for_lost() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [swept, lost] = [(); 2].map(|()| UserId::from_uuid(fresh_uuid()));
    for id in [swept, lost] {
        user(&world.database, id).await?;
    }
    let [r] = world.instances().await?;
    let mut entries = Vec::new();
    for id in [swept, lost] {
        let revoked = Revoked::TokensBelow(id, Version::new((1 << 32) + 9));
        entries.push(r.store(revoked, Some(Effect::Disable)).await?);
    }
    // The second ends later.
    entries[1].until += SOON;
    // As a sweep does with the first, and a failover with the second.
    let sql = &world.database.sql;
    let told = "update sweeps set until = (select min(until) from revocations)";
    assert_eq!(sql.execute(told, &[]).await?, 1);
    sql.execute("delete from revocations", &[]).await?;
    let standby = &world.pair.replicas[0].node;
    standby.caught_up_with(&world.pair.primary).await?;
    world.fail_over().await?;

    back(&r, 2).await?;
    // As whoever reads the stream from its start.
    r.revocations.hint(&entries);
    back(&r, 2).await?;
    assert!(!stands(&world.database, swept).await?.1);
    assert!(stands(&world.database, lost).await?.1);
    let left = "select count(*) from revocations";
    assert_eq!(world.database.number(left).await?, 1);
    // What no row will ever tell of is not offered again at every beat.
    let registered = async || {
        let row = world.database.sql.query_one("select id from readers", &[]);
        anyhow::Ok(row.await?.get::<_, Uuid>(0))
    };
    let before = registered().await?;
    for _ in 0..3 {
        r.beat().await?;
    }
    assert_eq!(registered().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_hint_of_the_lost_timeline_is_written_back_too() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [r, w] = world.instances().await?;
    world.stop_shipping().await?;
    let x = a_session();
    let entry = w.revoke(x).await?;
    drop(w);
    world.fail_over().await?;
    back(&r, 2).await?;
    // Only the stream has it: W is gone, the primary lost it, R had no beat in time.
    r.revocations.hint(&[entry]);
    assert_eq!(r.check(x), Err(TokenRefused::Revoked));
    r.beat().await?;
    let found = "select count(*) from revocations";
    assert_eq!(world.database.number(found).await?, 1);
    assert_eq!(r.check(x), Err(TokenRefused::Revoked));
    assert_eq!(r.revocations.entries(), 1);
    Ok(())
}
