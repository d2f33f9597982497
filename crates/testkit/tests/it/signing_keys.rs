//! The use cases of the signing keys.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sso_core::{
    Caller, Failure, Kind, Origin,
    ports::store::{KeyUse, Reach},
    usecases::keys::{self, KeyState, KeysError, MAX_KEYS, SPREAD, Start, Tended},
};
use sso_testkit::{
    app::{App, email_of, password_of},
    clock::ManualClock,
    memory::MemoryStore,
};

const DAY: Duration = Duration::from_hours(24);

async fn app() -> Result<App> {
    App::new(Arc::new(MemoryStore::new()), Arc::new(ManualClock::new())).await
}

async fn states(app: &App) -> Result<Vec<(KeyUse, KeyState)>, KeysError> {
    let listed = keys::list(&app.sso, &Caller::operator()).await?;
    Ok(listed.iter().map(|key| (key.usage, key.state)).collect())
}

async fn rotate(app: &App) -> Result<Vec<keys::Listed>, KeysError> {
    keys::rotate(
        &app.sso,
        &Caller::operator(),
        &KeyUse::ALL,
        Start::Published,
    )
    .await
}

/// As the server's loop does.
async fn reload(app: &App) -> Result<()> {
    let master = sso_crypto::MasterKey::from_bytes(&[7; 32]);
    let stored = app.sso.store.keys().await?;
    let reloaded = app
        .tokens
        .ring()
        .reload(&stored, &master, app.sso.clock.now())?;
    app.tokens.replace_ring(reloaded.ring);
    Ok(())
}

#[tokio::test]
async fn only_the_operator_sees_and_changes_keys() -> Result<()> {
    let app = app().await?;
    let alice = app
        .register("alice")
        .await
        .map_err(|f| anyhow::anyhow!("{f:?}"))?;
    let user = app
        .caller(&alice.access_token)
        .await
        .map_err(|f| anyhow::anyhow!("{f:?}"))?;
    for caller in [Caller::anonymous(Origin::default()), user] {
        let refused = [
            keys::list(&app.sso, &caller).await.err(),
            keys::rotate(&app.sso, &caller, &KeyUse::ALL, Start::AtOnce)
                .await
                .err(),
            keys::retire(&app.sso, &caller, "any").await.err(),
        ];
        for error in refused {
            let failure: Option<Failure> = error.map(Into::into);
            assert_eq!(failure.map(|failure| failure.kind), Some(Kind::Forbidden));
        }
    }
    assert_eq!(app.sso.store.keys().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_key_is_next_then_signs_then_verifies() -> Result<()> {
    use KeyState::{Next, Signing, Verifying};
    use KeyUse::{Access, Refresh};
    let app = app().await?;
    assert_eq!(states(&app).await?, [(Access, Signing), (Refresh, Signing)]);
    let made = rotate(&app).await?;
    let max_age = app.sso.policy.keys.jwks_max_age;
    assert!(
        made.iter()
            .all(|key| key.signs_from == key.created_at + max_age + SPREAD)
    );
    let next = [
        (Access, Signing),
        (Access, Next),
        (Refresh, Signing),
        (Refresh, Next),
    ];
    app.clock.advance(max_age);
    app.clock.advance(Duration::from_micros(1_999_999));
    assert_eq!(states(&app).await?, next);
    app.clock.advance(Duration::from_micros(1));
    let signs = [
        (Access, Verifying),
        (Access, Signing),
        (Refresh, Verifying),
        (Refresh, Signing),
    ];
    assert_eq!(states(&app).await?, signs);
    Ok(())
}

#[tokio::test]
async fn of_two_rotations_at_once_one_is_made() -> Result<()> {
    let app = app().await?;
    let (one, other) = tokio::join!(rotate(&app), rotate(&app));
    let results = [one, other];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .any(|result| matches!(result, Err(KeysError::Contended)))
    );
    assert_eq!(app.sso.store.keys().await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn retiring_a_key_ends_its_tokens_here_before_it_is_answered() -> Result<()> {
    let app = app().await?;
    let failed = |failure: Failure| anyhow::anyhow!("{failure:?}");
    let alice = app.register("alice").await.map_err(failed)?;
    let first = app.sso.store.keys().await?;
    let access = first.iter().find(|key| key.usage == KeyUse::Access);
    let kid = access.map(|key| key.id.clone()).unwrap_or_default();
    let last = keys::retire(&app.sso, &Caller::operator(), &kid).await;
    assert!(matches!(last, Err(KeysError::LastKey)));
    rotate(&app).await?;
    reload(&app).await?;
    app.advance(app.sso.policy.keys.jwks_max_age + SPREAD)
        .await?;
    assert!(app.validate(&alice.access_token).await.is_ok());
    let ended = keys::retire(&app.sso, &Caller::operator(), &kid).await?;
    assert_eq!(
        (ended.key.state, ended.reach),
        (KeyState::Retired, Reach::Everywhere)
    );
    assert!(app.validate(&alice.access_token).await.is_err());
    let again = keys::retire(&app.sso, &Caller::operator(), &kid).await;
    assert!(matches!(again, Err(KeysError::NotFound)));
    let bob = app
        .login("alice", &password_of("alice"))
        .await
        .map_err(failed)?;
    assert!(app.validate(&bob.access_token).await.is_ok());
    assert_eq!(email_of("alice"), "alice@example.com");
    Ok(())
}

#[tokio::test]
async fn keys_are_tended_when_they_are_due_and_not_before() -> Result<()> {
    let app = app().await?;
    let due = async || {
        let ring = app.sso.store.keys().await?;
        anyhow::Ok(keys::is_due(&app.sso.policy, &ring, app.sso.clock.now()))
    };
    let nothing = Tended::default();
    assert!(!due().await?);
    assert_eq!(keys::tend(&app.sso).await?, nothing);
    app.clock.advance(90 * DAY);
    assert!(due().await?);
    assert_eq!(
        keys::tend(&app.sso).await?,
        Tended {
            made: 2,
            retired: 0
        }
    );
    assert!(!due().await?);
    // The new ones sign after the max-age; a day later no access token of the old one is left.
    app.clock.advance(DAY);
    assert_eq!(
        keys::tend(&app.sso).await?,
        Tended {
            made: 0,
            retired: 1
        }
    );
    app.clock.advance(10 * DAY);
    assert_eq!(
        keys::tend(&app.sso).await?,
        Tended {
            made: 0,
            retired: 1
        }
    );
    assert_eq!(app.sso.store.keys().await?.len(), 2);
    assert_eq!(keys::tend(&app.sso).await?, nothing);
    Ok(())
}

#[tokio::test]
async fn there_are_only_so_many_keys() -> Result<()> {
    let app = app().await?;
    for _ in 1..MAX_KEYS / 2 {
        rotate(&app).await?;
    }
    assert_eq!(app.sso.store.keys().await?.len(), MAX_KEYS);
    assert!(matches!(rotate(&app).await, Err(KeysError::TooMany)));
    Ok(())
}
