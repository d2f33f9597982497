//! What the tests share: a store of each kind, a spy before it, personas' answers in short.

pub(crate) mod capture;
pub(crate) mod hasher;
pub(crate) mod spy;
mod spy_tx;

use std::{future::Future, sync::Arc, time::Duration};

use sso_core::{
    Failure, Policy,
    ports::{
        AccessClaims, RandomIds, RefreshClaims, Store, TokenRefused, Tokens,
        store::{NewUser, User},
    },
    usecases::SignedIn,
    values::{Email, PasswordHash, UserId},
};
use sso_store_sqlite::{Limits, Role, Settings, SqliteStore};
use sso_testkit::{
    app::{App, email_of},
    clock::ManualClock,
    memory::MemoryStore,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Makes a test of each function, on each store.
macro_rules! on_every_store {
    ($($rule:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(crate::support::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                let (store, _folder) = crate::support::sqlite();
                super::$rule(store).await;
            })*
        }
    };
}
pub(crate) use on_every_store;

pub(crate) type AnyStore = Arc<dyn Store>;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// The smallest step of stored time.
pub(crate) const TICK: Duration = Duration::from_micros(1);

pub(crate) fn memory() -> AnyStore {
    Arc::new(MemoryStore::new())
}

/// A server's store, and the folder that must live as long.
pub(crate) fn sqlite() -> (AnyStore, TempDir) {
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        folder: folder.path().to_owned(),
        role: Role::Server,
        migrate: true,
        limits: Limits {
            // A busy machine is no reason to fail.
            transaction_idle: Duration::from_mins(1),
            ..Limits::default()
        },
    };
    (Arc::new(SqliteStore::open(&settings).unwrap()), folder)
}

pub(crate) async fn app(store: AnyStore) -> App {
    App::new(store, Arc::default()).await.unwrap()
}

/// An app under a policy that `change` makes of the one that [`app`] has.
pub(crate) async fn app_with(store: AnyStore, change: impl FnOnce(&mut Policy)) -> App {
    let mut policy = Policy {
        failure_floor: Duration::ZERO,
        ..Policy::default()
    };
    change(&mut policy);
    let clock: Arc<ManualClock> = Arc::default();
    App::with_policy(store, clock, policy).await.unwrap()
}

/// Stores a user with a hash made elsewhere.
pub(crate) async fn import(app: &App, name: &str, password_hash: PasswordHash) -> User {
    let now = app.sso.clock.now();
    let user = NewUser {
        id: UserId::from_uuid(app.sso.random.uuid_v7(now)),
        email: Email::parse(&email_of(name)).unwrap(),
        password_hash,
        name: None,
        birthday: None,
        is_admin: false,
        created_at: now,
    };
    let mut tx = app.sso.store.begin().await.unwrap();
    let user = tx.insert_user(&user).await.unwrap();
    tx.commit().await.unwrap();
    user
}

/// The code of a failure.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
    result.unwrap_err().code
}

/// What an access token says, whether or not it is revoked.
pub(crate) fn access(app: &App, of: &SignedIn) -> AccessClaims {
    let now = app.sso.clock.now();
    app.tokens.verify_access(&of.access_token, now).unwrap()
}

/// What a refresh token says, whether or not its session lives.
pub(crate) fn refreshing(app: &App, of: &SignedIn) -> RefreshClaims {
    let now = app.sso.clock.now();
    app.tokens.verify_refresh(&of.refresh_token, now).unwrap()
}

/// Both tokens of a session are good. Uses the refresh token.
pub(crate) async fn assert_alive(app: &App, tokens: &SignedIn) {
    app.validate(&tokens.access_token).await.unwrap();
    app.refresh(&tokens.refresh_token).await.unwrap();
}

/// Neither token of a session is good for anything.
pub(crate) async fn assert_over(app: &App, tokens: &SignedIn) {
    assert_eq!(
        app.validate(&tokens.access_token).await,
        Err(TokenRefused::Revoked)
    );
    assert_eq!(
        code(app.refresh(&tokens.refresh_token).await),
        "token_revoked"
    );
}

/// Does one thing as often at once, and returns what each returned.
pub(crate) async fn at_once<T, F>(times: usize, each: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: JoinSet<T> = (0..times).map(each).collect();
    running.join_all().await
}
