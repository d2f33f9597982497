//! What is counted, by the contract's names.

use sso_core::{
    metrics::{LOGINS, REGISTRATIONS, register},
    usecases::administer::Change,
};
use sso_testkit::app::password_of;

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

    let app = app(store).await;
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
}
