//! What is counted, by the contract's names.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_core::{
    metrics::{LOGINS, REGISTRATIONS, register},
    ports::{HashError, Hasher, Verified, Work},
    usecases::administer::Change,
    values::{NewPassword, Password, PasswordHash},
};
use sso_testkit::app::password_of;
use tokio::time::timeout;

use crate::support::{AnyStore, app, capture::recorder, code, on_every_store};

on_every_store! {
    every_outcome_exists_from_the_start_and_is_counted
}

async fn every_outcome_exists_from_the_start_and_is_counted(store: AnyStore) {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let counted = |name: &str, outcome: &str, times: usize| {
        let line = format!("{name}{{outcome=\"{outcome}\"}} {times}");
        let text = recorder.handle().render();
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    };
    register();
    for outcome in [
        "success",
        "invalid_credentials",
        "user_disabled",
        "overloaded",
        "error",
    ] {
        counted(LOGINS, outcome, 0);
    }
    for outcome in ["success", "user_exists", "forbidden", "overloaded", "error"] {
        counted(REGISTRATIONS, outcome, 0);
    }

    let mut app = app(store).await;
    let alice = app.register("alice").await.unwrap().user;
    assert_eq!(code(app.register("Alice").await), "user_exists");
    app.login("alice", &password_of("alice")).await.unwrap();
    for name in ["alice", "nobody"] {
        assert_eq!(
            code(app.login(name, "another one").await),
            "invalid_credentials"
        );
    }
    app.change(alice, Change::Disable).await.unwrap();
    assert_eq!(
        code(app.login("alice", &password_of("alice")).await),
        "user_disabled"
    );
    counted(REGISTRATIONS, "success", 1);
    counted(REGISTRATIONS, "user_exists", 1);
    counted(LOGINS, "success", 1);
    counted(LOGINS, "invalid_credentials", 2);
    counted(LOGINS, "user_disabled", 1);
    // Who waits for it goes away, as at the deadline.
    app.sso.hasher = Arc::new(Stuck);
    let login = app.login("nobody", "another one");
    timeout(Duration::ZERO, login).await.unwrap_err();
    counted(LOGINS, "error", 1);
}

/// Hashes for ever.
struct Stuck;

#[async_trait]
impl Hasher for Stuck {
    async fn hash(&self, _: Work, _: NewPassword) -> Result<PasswordHash, HashError> {
        pending().await
    }

    async fn rehash(&self, _: Work, _: Password) -> Result<PasswordHash, HashError> {
        pending().await
    }

    async fn verify(
        &self,
        _: Work,
        _: Password,
        _: Option<PasswordHash>,
    ) -> Result<Verified, HashError> {
        pending().await
    }
}
