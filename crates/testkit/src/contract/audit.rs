//! The audit log.

use std::{borrow::Cow, sync::Arc, time::Duration};

use sso_core::{
    Agent,
    ports::{
        Store,
        store::{Actor, AuditAction, AuditPage, AuditRecord, AuditResult, NewAudit},
    },
    values::UserId,
};

use super::given::{Given, NOW, TICK};

const ALL: AuditPage = AuditPage {
    user: None,
    actor: None,
    action: None,
    result: None,
    since: None,
    until: None,
    before: None,
    limit: 100,
};

fn login(user: UserId) -> NewAudit {
    NewAudit {
        user: Some(user),
        actor: Actor::User(user),
        ..NewAudit::new(NOW, AuditAction::Login, AuditResult::Success)
    }
}

async fn append(store: &Arc<dyn Store>, record: NewAudit) {
    commit!(store, tx => tx.append_audit(&record));
}

async fn page(store: &Arc<dyn Store>, page: AuditPage) -> Vec<AuditRecord> {
    store.audit(&page).await.unwrap()
}

/// Every kind of actor, every column.
pub async fn a_record_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let given = Given::new();
    let user = given.user_id();
    let full = NewAudit {
        at: NOW,
        action: AuditAction::Login,
        result: AuditResult::Refused,
        actor: Actor::User(user),
        user: Some(given.user_id()),
        session: Some(given.session_id()),
        address: Some("2001:db8::7".parse().unwrap()),
        agent: Some(Agent::new("curl/8.0")),
        times: 7,
        detail: Some(Cow::Borrowed("a few words")),
    };
    append(&store, full.clone()).await;
    let stored = page(&store, ALL).await.remove(0);
    assert_eq!(
        stored,
        AuditRecord {
            sequence: stored.sequence,
            at: NOW,
            action: "login".to_owned(),
            result: AuditResult::Refused,
            actor: full.actor,
            user: full.user,
            session: full.session,
            address: full.address,
            agent: full.agent,
            times: 7,
            detail: Some("a few words".to_owned()),
        }
    );
    for actor in [
        Actor::Anonymous,
        Actor::Operator,
        Actor::Service("billing".to_owned()),
        Actor::System,
    ] {
        let record = NewAudit {
            actor: actor.clone(),
            ..NewAudit::new(NOW, AuditAction::Login, AuditResult::Success)
        };
        append(&store, record).await;
        assert_eq!(page(&store, ALL).await[0].actor, actor);
    }
}

/// A record is of what was done: if that was not, neither was this.
pub async fn a_record_commits_with_what_it_tells_of(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = given.new_user("alice@example.com");
    let mut tx = store.begin().await.unwrap();
    tx.insert_user(&new).await.unwrap();
    tx.append_audit(&login(new.id)).await.unwrap();
    assert_eq!(page(&store, ALL).await, []);
    drop(tx);
    assert_eq!(page(&store, ALL).await, []);
}

/// The sequence is the cursor, not the time.
pub async fn records_are_newest_first_in_pages(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut stored = Vec::new();
    for at in [3, 1, 2] {
        let record = NewAudit {
            at: NOW + Duration::from_secs(at),
            ..login(given.user_id())
        };
        stored.insert(0, record.user);
        append(&store, record).await;
    }
    let users = |records: &[AuditRecord]| records.iter().map(|r| r.user).collect::<Vec<_>>();
    let first = page(&store, AuditPage { limit: 2, ..ALL }).await;
    assert_eq!(users(&first), stored[..2]);
    assert!(first[0].sequence > first[1].sequence);
    let rest = AuditPage {
        before: Some(first[1].sequence),
        ..ALL
    };
    assert_eq!(users(&page(&store, rest).await), stored[2..]);
}

/// Alice's login, bob's, alice disabled by the operator, and a refused login of hers; a tick apart.
async fn some_records(store: &Arc<dyn Store>, alice: UserId, bob: UserId) {
    let disabled = NewAudit {
        at: NOW + TICK,
        action: AuditAction::UserDisable,
        actor: Actor::Operator,
        ..login(alice)
    };
    let refused = NewAudit {
        at: NOW + 2 * TICK,
        result: AuditResult::Refused,
        actor: Actor::Anonymous,
        ..login(alice)
    };
    for record in [login(bob), login(alice), disabled, refused] {
        append(store, record).await;
    }
}

/// Each filter restricts, and all of them together.
pub async fn records_are_found_by_whom_by_what_and_by_when(store: Arc<dyn Store>) {
    let given = Given::new();
    let (alice, bob) = (given.user_id(), given.user_id());
    some_records(&store, alice, bob).await;
    let of = |change: &dyn Fn(&mut AuditPage)| {
        let mut page = ALL;
        change(&mut page);
        page
    };
    let login = || Some("login".to_owned());
    let cases = [
        (of(&|page| page.user = Some(alice)), 3),
        (of(&|page| page.user = Some(given.user_id())), 0),
        (of(&|page| page.actor = Some(Actor::User(alice))), 1),
        (of(&|page| page.actor = Some(Actor::Operator)), 1),
        (
            of(&|page| page.actor = Some(Actor::Service("x".to_owned()))),
            0,
        ),
        (of(&|page| page.action = login()), 3),
        (of(&|page| page.action = Some("nothing".to_owned())), 0),
        (of(&|page| page.result = Some(AuditResult::Refused)), 1),
        (of(&|page| page.since = Some(NOW + TICK)), 2),
        (of(&|page| page.until = Some(NOW + TICK)), 2),
        (
            AuditPage {
                user: Some(alice),
                action: login(),
                result: Some(AuditResult::Success),
                until: Some(NOW + TICK),
                ..ALL
            },
            1,
        ),
    ];
    for (filter, found) in cases {
        assert_eq!(
            page(&store, filter.clone()).await.len(),
            found,
            "{filter:?}"
        );
    }
}
