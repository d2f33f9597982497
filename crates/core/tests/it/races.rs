//! What may happen at the same time: whoever comes first, no access survives that was taken away.
//!
//! Each round has a user of its own. After it every token that anybody was given is tried.

use std::{future::Future, sync::Arc};

use sso_core::{
    Network,
    ports::{Queue, Unthrottled, Work},
    usecases::{SignedIn, administer::Change},
    values::{Password, PasswordHash},
};
use sso_testkit::{
    app::{App, password_of},
    tasks::TokioTasks,
};
use tokio::task::JoinSet;

use crate::support::{
    AnyStore, access, app, assert_alive, assert_over, code, import, memory, sqlite,
};

/// Makes a test of each race, on each store. In memory a transaction copies everything, so there
/// are fewer rounds.
macro_rules! races {
    ($($race:ident)*) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $race() {
                super::rounds(super::memory(), 100, super::$race).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $race() {
                let (store, _folder) = super::sqlite();
                super::rounds(store, 1_000, super::$race).await;
            })*
        }
    };
}

races! {
    refresh_against_logout
    refresh_against_disable
    login_against_disable
    login_against_the_loss_of_a_role
    login_against_a_change_of_the_password
    login_against_a_password_set_by_the_operator
    a_rehash_against_a_new_password
    two_changes_of_one_password
}

/// Rounds under way at once.
const WIDTH: usize = 16;
const NEW: &str = "the first new secret";
const NEWER: &str = "the second new secret";

/// One user, and the app with work after the answer of its own.
struct Round {
    app: App,
    name: String,
    number: usize,
}

/// Runs a race as often; each tells whether the first thing came through. Both ends must occur, or
/// it was no race.
async fn rounds<F>(store: AnyStore, count: usize, race: fn(Round) -> F)
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut app = app(store).await;
    // A thousand users who fail from one network would be slowed, and that is another test.
    app.sso.throttle = Arc::new(Unthrottled);
    let mut running = JoinSet::new();
    let mut ends = Vec::new();
    for number in 0..count {
        if running.len() == WIDTH {
            ends.extend(running.join_next().await.map(Result::unwrap));
        }
        let mut app = app.clone();
        app.tasks = Arc::new(TokioTasks::new());
        app.sso.tasks = Arc::<TokioTasks>::clone(&app.tasks);
        let name = format!("user{number}");
        running.spawn(race(Round { app, name, number }));
    }
    ends.extend(running.join_all().await);
    let through = ends.iter().filter(|through| **through).count();
    assert!(
        0 < through && through < count,
        "the first came through {through} of {count} times"
    );
}

impl Round {
    /// Does both at once. Which of them starts ahead, and by how many hashes, differs.
    async fn both<A, B>(
        &self,
        one: impl Future<Output = A> + Send + 'static,
        other: impl Future<Output = B> + Send + 'static,
    ) -> (A, B)
    where
        A: Send + 'static,
        B: Send + 'static,
    {
        let behind = self.number / 2 % 4;
        let (first, second) = if self.number.is_multiple_of(2) {
            (0, behind)
        } else {
            (behind, 0)
        };
        let one = tokio::spawn(after(self.app.clone(), first, one));
        let other = tokio::spawn(after(self.app.clone(), second, other));
        (one.await.unwrap(), other.await.unwrap())
    }

    async fn register(&self) -> SignedIn {
        self.app.register(&self.name).await.unwrap()
    }

    /// Does nothing before it is awaited.
    fn login(&self, password: &str) -> impl Future<Output = Option<SignedIn>> + Send + 'static {
        let (app, name, password) = (self.app.clone(), self.name.clone(), password.to_owned());
        async move { app.login(&name, &password).await.ok() }
    }

    fn old_password(&self) -> String {
        password_of(&self.name)
    }

    /// Of these passwords exactly this one is right.
    async fn assert_password(&self, right: &str) {
        for password in [self.old_password().as_str(), NEW, NEWER] {
            let signed_in = self.login(password).await;
            assert_eq!(
                signed_in.is_some(),
                password == right,
                "{} {password}",
                self.name
            );
        }
    }

    /// Neither these tokens nor what they can still be exchanged for carry the role.
    async fn assert_no_admin(&self, tokens: &SignedIn) {
        if let Ok(claims) = self.app.validate(&tokens.access_token).await {
            assert!(!claims.is_admin, "{}", self.name);
        }
        let refreshed = self.app.refresh(&tokens.refresh_token).await.unwrap();
        assert!(
            !self
                .app
                .validate(&refreshed.access_token)
                .await
                .unwrap()
                .is_admin,
            "{}",
            self.name
        );
    }
}

async fn after<T>(app: App, hashes: usize, then: impl Future<Output = T>) -> T {
    let work = Work {
        queue: Queue::Login,
        network: Network::default(),
    };
    for _ in 0..hashes {
        let password = Password::parse("password", "x").unwrap();
        app.sso.hasher.verify(work, password, None).await.unwrap();
    }
    then.await
}

async fn refresh_against_logout(round: Round) -> bool {
    let first = round.register().await;
    let (app, token) = (round.app.clone(), first.refresh_token.clone());
    let refresh = async move { app.refresh(&token).await.ok() };
    let (app, token) = (round.app.clone(), first.access_token.clone());
    let logout = async move { app.logout(&token, false).await.unwrap() };
    let (refreshed, _) = round.both(refresh, logout).await;
    for tokens in refreshed.iter().chain([&first]) {
        assert_over(&round.app, tokens).await;
    }
    refreshed.is_some()
}

async fn refresh_against_disable(round: Round) -> bool {
    let first = round.register().await;
    let (app, token) = (round.app.clone(), first.refresh_token.clone());
    let refresh = async move { app.refresh(&token).await.ok() };
    let (app, user) = (round.app.clone(), first.user);
    let disable = async move { app.change(user, Change::Disable).await.unwrap() };
    let (refreshed, _) = round.both(refresh, disable).await;
    for change in [None, Some(Change::Enable)] {
        if let Some(change) = change {
            round.app.change(first.user, change).await.unwrap();
        }
        for tokens in refreshed.iter().chain([&first]) {
            assert_over(&round.app, tokens).await;
        }
    }
    refreshed.is_some()
}

async fn login_against_disable(round: Round) -> bool {
    let first = round.register().await;
    let (app, user) = (round.app.clone(), first.user);
    let disable = async move { app.change(user, Change::Disable).await.unwrap() };
    let (signed_in, _) = round
        .both(round.login(&round.old_password()), disable)
        .await;
    assert!(round.login(&round.old_password()).await.is_none());
    for change in [None, Some(Change::Enable)] {
        if let Some(change) = change {
            round.app.change(first.user, change).await.unwrap();
        }
        for tokens in signed_in.iter().chain([&first]) {
            assert_over(&round.app, tokens).await;
        }
    }
    signed_in.is_some()
}

async fn login_against_the_loss_of_a_role(round: Round) -> bool {
    let first = round.register().await;
    round
        .app
        .change(first.user, Change::GrantAdmin)
        .await
        .unwrap();
    let (app, user) = (round.app.clone(), first.user);
    let take = async move { app.change(user, Change::TakeAdmin).await.unwrap() };
    let (signed_in, _) = round.both(round.login(&round.old_password()), take).await;
    let signed_in = signed_in.unwrap();
    let was_admin = access(&round.app, &signed_in).is_admin;
    let late = round.login(&round.old_password()).await.unwrap();
    for tokens in [&first, &signed_in, &late] {
        round.assert_no_admin(tokens).await;
    }
    was_admin
}

async fn login_against_a_change_of_the_password(round: Round) -> bool {
    let first = round.register().await;
    let (app, token, old) = (
        round.app.clone(),
        first.access_token.clone(),
        round.old_password(),
    );
    let change = async move { app.change_password(&token, &old, NEW).await.unwrap() };
    let (signed_in, changed) = round.both(round.login(&round.old_password()), change).await;
    for tokens in signed_in.iter().chain([&first]) {
        assert_over(&round.app, tokens).await;
    }
    assert_alive(&round.app, &changed).await;
    round.assert_password(NEW).await;
    signed_in.is_some()
}

async fn login_against_a_password_set_by_the_operator(round: Round) -> bool {
    let first = round.register().await;
    let (app, user) = (round.app.clone(), first.user);
    let set = async move { app.set_password(user, NEW).await.unwrap() };
    let (signed_in, _) = round.both(round.login(&round.old_password()), set).await;
    for tokens in signed_in.iter().chain([&first]) {
        assert_over(&round.app, tokens).await;
    }
    round.assert_password(NEW).await;
    signed_in.is_some()
}

/// The login with an imported hash writes it anew after its answer.
async fn a_rehash_against_a_new_password(round: Round) -> bool {
    let imported = PasswordHash::new(bcrypt::hash(round.old_password(), 4).unwrap());
    let user = import(&round.app, &round.name, imported).await.id;
    let app = round.app.clone();
    let set = async move { app.set_password(user, NEW).await.unwrap() };
    let (signed_in, _) = round.both(round.login(&round.old_password()), set).await;
    round.app.tasks.wait().await;
    if let Some(tokens) = &signed_in {
        assert_over(&round.app, tokens).await;
    }
    round.assert_password(NEW).await;
    signed_in.is_some()
}

async fn two_changes_of_one_password(round: Round) -> bool {
    let first = round.register().await;
    let second = round.login(&round.old_password()).await.unwrap();
    let change = |tokens: &SignedIn, new: &'static str| {
        let (app, token) = (round.app.clone(), tokens.access_token.clone());
        let old = round.old_password();
        async move { app.change_password(&token, &old, new).await }
    };
    let (one, other) = round
        .both(change(&first, NEW), change(&second, NEWER))
        .await;
    let one_won = one.is_ok();
    let (won, lost, right) = if one_won {
        (one, other, NEW)
    } else {
        (other, one, NEWER)
    };
    let lost = code(lost);
    assert!(
        matches!(lost, "token_revoked" | "invalid_credentials"),
        "{lost}"
    );
    for tokens in [&first, &second] {
        assert_over(&round.app, tokens).await;
    }
    assert_alive(&round.app, &won.unwrap()).await;
    round.assert_password(right).await;
    one_won
}
