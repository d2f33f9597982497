//! Logins, in one step.

use std::{sync::Arc, time::Duration};

use sso_core::{
    ports::{
        Store,
        store::{
            AuditAction, AuditPage, AuditResult, Liveness, NewAudit, NewLogin, NewSession, Revoked,
            Session, Until,
        },
    },
    values::{SessionId, Version},
};

use super::given::{Given, NOW};

fn ids(sessions: &[Session]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}

/// A login of the session `new` that keeps two.
fn login<'a>(new: &'a NewSession, seen: Version, record: &'a NewAudit) -> NewLogin<'a> {
    NewLogin {
        session: new,
        seen,
        keep: 2,
        alive: Liveness::at(new.created_at),
        until: Until {
            least: NOW + Duration::from_mins(9),
            from: NOW,
        },
        record,
    }
}

async fn records(store: &Arc<dyn Store>) -> usize {
    let page = AuditPage {
        user: None,
        actor: None,
        action: None,
        result: None,
        since: None,
        until: None,
        before: None,
        limit: 9,
    };
    store.audit(&page).await.unwrap().len()
}

/// All of it is committed when it returns.
pub async fn a_login_opens_a_session_ends_the_oldest_and_is_recorded(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    commit!(store, tx => tx.remember_access_life(Duration::from_mins(30)));
    let oldest = given.session_from(&store, &alice, NOW).await;
    let mut opened = Vec::new();
    for at in 1..=2 {
        let new = given.new_session(alice.id, NOW + Duration::from_secs(at));
        let record = NewAudit::new(NOW, AuditAction::Login, AuditResult::Success);
        let login = login(&new, alice.version, &record);
        let done = store.log_in(&login).await.unwrap().unwrap();
        assert_eq!((&done.user, done.session.id), (&alice, new.id));
        opened.push(done);
    }
    assert_eq!(opened[0].ended, []);
    let [ended] = opened[1].ended[..] else {
        panic!("{:?}", opened[1].ended);
    };
    assert_eq!(ended.revoked, Revoked::Session(oldest.id));
    // Tokens were made to live for longer than this process gives.
    assert_eq!(ended.until, NOW + Duration::from_mins(30));
    let now = NOW + Duration::from_secs(3);
    let live = store.live_sessions(alice.id, Liveness::at(now)).await;
    assert_eq!(
        ids(&live.unwrap()),
        [opened[1].session.id, opened[0].session.id]
    );
    assert_eq!(records(&store).await, 2);
}

/// Nobody's session ends for it.
pub async fn a_login_at_a_stale_version_does_nothing(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    for at in 0..3 {
        let start = NOW + Duration::from_secs(at);
        given.session_from(&store, &alice, start).await;
    }
    commit!(store, tx => tx.set_admin(alice.id, true));
    let new = given.new_session(alice.id, NOW + Duration::from_secs(3));
    let record = NewAudit::new(NOW, AuditAction::Login, AuditResult::Success);
    let stale = login(&new, alice.version, &record);
    assert_eq!(store.log_in(&stale).await.unwrap(), None);
    assert_eq!(store.session(new.id).await.unwrap(), None);
    let live = store
        .live_sessions(alice.id, Liveness::at(new.created_at))
        .await;
    assert_eq!(live.unwrap().len(), 3);
    assert_eq!(records(&store).await, 0);
}
