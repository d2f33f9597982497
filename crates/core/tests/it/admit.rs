//! Who is let in at the door of the services' port.

use std::sync::Arc;

use sso_core::{
    Failure, Identity, Scope, Scopes, Service,
    access::Access,
    usecases::{
        administer::Change,
        admit::{Credentials, Doorkeeper},
    },
};
use sso_crypto::{KnownCaller, KnownCallers, sha256};
use sso_testkit::app::{App, password_of};

use crate::support::{AnyStore, SECOND, app, memory, on_every_store};

on_every_store! {
    an_administrator_is_let_in_by_his_access_token
    whoever_was_an_administrator_is_one_no_more
}

const USERS: Access = Access::Administrator(Scope::UsersAdmin);
const AUTH: Access = Access::Caller(Scope::Auth);

/// Two services: `shop` has the scope `auth`, `desk` has `users:admin`.
fn keeper(require_caller: bool) -> Doorkeeper {
    let known = |name: &str, scope| KnownCaller {
        token_sha256: Some(sha256(format!("token of {name}").as_bytes())),
        certificate: Some(format!("{name}.internal")),
        service: Service {
            name: name.into(),
            scopes: Scopes::from_iter([scope]),
        },
    };
    let known = vec![known("shop", Scope::Auth), known("desk", Scope::UsersAdmin)];
    Doorkeeper {
        callers: Arc::new(KnownCallers::new(known)),
        require_caller,
    }
}

fn token(token: &str) -> Credentials<'_> {
    Credentials {
        caller_token: Some(token),
        ..Credentials::default()
    }
}

fn bearer(token: &str) -> Credentials<'_> {
    Credentials {
        bearer: Some(token),
        ..Credentials::default()
    }
}

/// As whom, or the code of the refusal.
async fn admitted(
    app: &App,
    keeper: &Doorkeeper,
    access: Access,
    shown: Credentials<'_>,
) -> String {
    match keeper.admit(&app.sso, access, shown).await {
        Ok(Identity::Anonymous) => "anonymous".to_owned(),
        Ok(Identity::User(_)) => "user".to_owned(),
        Ok(Identity::Admin(_)) => "admin".to_owned(),
        Ok(Identity::Service(service)) => service.name.to_string(),
        Ok(Identity::Operator) => "operator".to_owned(),
        Err(refused) => Failure::from(refused).code.to_owned(),
    }
}

#[tokio::test]
async fn a_service_that_is_known_needs_the_scope() {
    let app = app(memory()).await;
    for (shown, asked, relaxed) in [
        (Credentials::default(), "caller_required", "anonymous"),
        (token("token of nobody"), "caller_required", "anonymous"),
        (token(""), "caller_required", "anonymous"),
        (token("token of shop"), "shop", "shop"),
        (token("token of desk"), "forbidden", "forbidden"),
    ] {
        assert_eq!(admitted(&app, &keeper(true), AUTH, shown).await, asked);
        assert_eq!(admitted(&app, &keeper(false), AUTH, shown).await, relaxed);
    }
    for (shown, asked) in [
        (Credentials::default(), "caller_required"),
        (token("token of desk"), "desk"),
    ] {
        let access = Access::KnownCaller;
        assert_eq!(admitted(&app, &keeper(true), access, shown).await, asked);
    }
    let nobody = Credentials::default();
    let open = admitted(&app, &keeper(true), Access::Anyone, nobody).await;
    assert_eq!(open, "anonymous");
}

#[tokio::test]
async fn administration_always_needs_the_scope_or_an_administrator() {
    let app = app(memory()).await;
    let alice = app.register("alice").await.unwrap();
    for keeper in [keeper(true), keeper(false)] {
        for (shown, expected) in [
            (Credentials::default(), "caller_required"),
            (token("token of nobody"), "caller_required"),
            (token("token of shop"), "forbidden"),
            (token("token of desk"), "desk"),
            (bearer(&alice.access_token), "forbidden"),
            (bearer(&alice.refresh_token), "wrong_token_type"),
            (bearer(""), "invalid_token"),
        ] {
            assert_eq!(admitted(&app, &keeper, USERS, shown).await, expected);
        }
    }
}

#[tokio::test]
async fn a_certificate_is_as_good_as_a_token_and_the_token_goes_first() {
    let app = app(memory()).await;
    let names = ["desk.internal".to_owned()];
    let shown = |caller_token| Credentials {
        caller_token,
        certificate: &names,
        bearer: None,
    };
    let keeper = keeper(true);
    assert_eq!(admitted(&app, &keeper, USERS, shown(None)).await, "desk");
    let both = shown(Some("token of shop"));
    assert_eq!(admitted(&app, &keeper, USERS, both).await, "forbidden");
    assert_eq!(admitted(&app, &keeper, AUTH, both).await, "shop");
    let unknown = shown(Some("token of nobody"));
    assert_eq!(admitted(&app, &keeper, USERS, unknown).await, "desk");
}

async fn an_administrator_is_let_in_by_his_access_token(store: AnyStore) {
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap();
    app.change(alice.user, Change::GrantAdmin).await.unwrap();
    let keeper = keeper(true);
    let before = bearer(&alice.access_token);
    let old = admitted(&app, &keeper, USERS, before).await;
    assert_eq!(old, "token_revoked", "made before he had the role");

    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    let shown = bearer(&tokens.access_token);
    assert_eq!(admitted(&app, &keeper, USERS, shown).await, "admin");
    // What is for services only he is not let in for.
    let auth = admitted(&app, &keeper, AUTH, shown).await;
    assert_eq!(auth, "caller_required");
    // Beside a service without the scope, too.
    let both = Credentials {
        caller_token: Some("token of shop"),
        ..shown
    };
    assert_eq!(admitted(&app, &keeper, USERS, both).await, "admin");
}

async fn whoever_was_an_administrator_is_one_no_more(store: AnyStore) {
    let app = app(store).await;
    let keeper = keeper(true);
    for (name, change) in [
        ("taken", Change::TakeAdmin),
        ("disabled", Change::Disable),
        ("ended", Change::EndSessions),
    ] {
        let user = app.register(name).await.unwrap().user;
        app.change(user, Change::GrantAdmin).await.unwrap();
        let tokens = app.login(name, &password_of(name)).await.unwrap();
        let shown = bearer(&tokens.access_token);
        assert_eq!(admitted(&app, &keeper, USERS, shown).await, "admin");
        app.change(user, change).await.unwrap();
        let refused = admitted(&app, &keeper, USERS, shown).await;
        assert_eq!(refused, "token_revoked", "{name}");
    }
    let user = app.register("out").await.unwrap().user;
    app.change(user, Change::GrantAdmin).await.unwrap();
    let tokens = app.login("out", &password_of("out")).await.unwrap();
    app.logout(&tokens.refresh_token, false).await.unwrap();
    let shown = bearer(&tokens.access_token);
    assert_eq!(admitted(&app, &keeper, USERS, shown).await, "token_revoked");
}

#[tokio::test]
async fn the_row_decides_where_the_token_and_the_set_say_nothing_yet() {
    let app = app(memory()).await;
    let keeper = keeper(true);
    for (name, disable) in [("taken", false), ("disabled", true)] {
        let user = app.register(name).await.unwrap().user;
        app.change(user, Change::GrantAdmin).await.unwrap();
        let tokens = app.login(name, &password_of(name)).await.unwrap();
        // As another instance would: committed, and not heard of here.
        let mut tx = app.sso.store.begin().await.unwrap();
        if disable {
            tx.set_disabled(user, true).await.unwrap();
        } else {
            tx.set_admin(user, false).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert!(app.validate(&tokens.access_token).await.is_ok());
        let shown = bearer(&tokens.access_token);
        let expected = if disable {
            "token_revoked"
        } else {
            "forbidden"
        };
        assert_eq!(admitted(&app, &keeper, USERS, shown).await, expected);
    }
}

#[tokio::test]
async fn a_role_counts_only_when_the_token_says_it() {
    let app = app(memory()).await;
    let alice = app.register("alice").await.unwrap();
    // As another instance would: committed, and not heard of here.
    let mut tx = app.sso.store.begin().await.unwrap();
    tx.set_admin(alice.user, true).await.unwrap();
    tx.commit().await.unwrap();
    let shown = bearer(&alice.access_token);
    let refused = admitted(&app, &keeper(true), USERS, shown).await;
    assert_eq!(refused, "forbidden");
}

#[tokio::test]
async fn without_a_lease_nobody_is_let_in_on_a_token() {
    let app = app(memory()).await;
    let keeper = keeper(true);
    let user = app.register("alice").await.unwrap().user;
    app.change(user, Change::GrantAdmin).await.unwrap();
    let tokens = app.login("alice", &password_of("alice")).await.unwrap();
    app.clock.advance(11 * SECOND);
    let shown = bearer(&tokens.access_token);
    assert_eq!(admitted(&app, &keeper, USERS, shown).await, "unavailable");
}
