//! Import, deletion, export, and what the janitor takes.

use std::{sync::Arc, time::Duration};

use sso_core::{
    Agent,
    ports::{
        Store, StoreError,
        store::{
            Actor, AuditAction, AuditPage, AuditResult, Constraint, Delivered, EventStatus,
            Freshness, Imported, ImportedUser, Liveness, NewAudit, NewRevocation, NewUser, Revoked,
            Rotation, Swept, User,
        },
    },
    values::{Birthday, Email, EventId, Name, ShardSet, UserId, Version},
};
use time::macros::date;

use super::given::{Given, LIFE, NOW, TICK, hash, token};

const MANY: u32 = 100;

fn imported(given: &Given, email: &str) -> ImportedUser {
    ImportedUser {
        id: given.user_id(),
        keeps_id: true,
        email: Email::parse(email).unwrap(),
        password_hash: hash("theirs"),
        name: Some(Name::parse("Alice").unwrap()),
        birthday: Some(Birthday::from_date(date!(2000 - 02 - 29))),
        is_admin: true,
        disabled: true,
        created_at: NOW - Duration::from_hours(24),
    }
}

async fn import(store: &Arc<dyn Store>, users: &[ImportedUser]) -> Vec<Imported> {
    commit!(store, tx => tx.import_users(users))
}

async fn user(store: &Arc<dyn Store>, id: UserId) -> Option<User> {
    store.user(id, Freshness::Primary).await.unwrap()
}

async fn delete(store: &Arc<dyn Store>, id: UserId) -> Option<User> {
    commit!(store, tx => tx.delete_user(id, NOW))
}

async fn event(store: &Arc<dyn Store>, given: &Given, user: UserId) -> EventId {
    let event = given.new_event(user);
    commit!(store, tx => tx.append_event(&event));
    event.id
}

async fn settle(store: &Arc<dyn Store>, id: EventId, delivered: Delivered) {
    store.settle_events(&[(id, delivered)], NOW).await.unwrap();
}

/// With everything that the other system knew.
pub async fn an_imported_user_comes_back_as_he_was(store: Arc<dyn Store>) {
    let given = Given::new();
    let new = imported(&given, "Alice@example.com");
    assert_eq!(
        import(&store, std::slice::from_ref(&new)).await,
        [Imported::Stored]
    );
    let stored = user(&store, new.id).await.unwrap();
    assert_eq!(
        stored,
        User {
            id: new.id,
            email: new.email,
            email_verified: false,
            password_hash: new.password_hash,
            name: new.name,
            birthday: new.birthday,
            is_admin: true,
            disabled: true,
            version: stored.version,
            sessions_from: stored.sessions_from,
            created_at: new.created_at,
        }
    );
    assert!(stored.version > Version::ZERO);
}

/// The others of the batch are stored.
pub async fn who_cannot_be_imported_is_told_and_fails_nobody_else(store: Arc<dyn Store>) {
    let given = Given::new();
    let gone = given.user(&store, "gone@example.com").await;
    delete(&store, gone.id).await;
    let alice = imported(&given, "alice@example.com");
    import(&store, std::slice::from_ref(&alice)).await;
    let other_case = imported(&given, "ALICE@example.com");
    let other_id = imported(&given, "alice@example.com");
    let without_id = ImportedUser {
        keeps_id: false,
        ..imported(&given, "alice@example.com")
    };
    let same_id = ImportedUser {
        id: alice.id,
        ..imported(&given, "bob@example.com")
    };
    let deleted_id = ImportedUser {
        id: gone.id,
        ..imported(&given, "carol@example.com")
    };
    let dave = imported(&given, "dave@example.com");
    let batch = [
        alice.clone(),
        other_case,
        other_id,
        without_id,
        same_id,
        deleted_id,
        dave.clone(),
    ];
    assert_eq!(
        import(&store, &batch).await,
        [
            Imported::Present,
            Imported::EmailTaken,
            Imported::EmailTaken,
            Imported::Present,
            Imported::IdTaken,
            Imported::IdDeleted,
            Imported::Stored,
        ]
    );
    assert!(user(&store, dave.id).await.is_some());
    let page = sso_core::ports::store::UserPage {
        after: None,
        limit: MANY,
    };
    assert_eq!(store.users(page).await.unwrap().len(), 2);
}

/// His row, his sessions; nobody else's. His address is free.
pub async fn a_deleted_user_is_gone_with_his_sessions(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    let session = given.session(&store, &alice).await;
    given.session(&store, &bob).await;

    assert_eq!(delete(&store, alice.id).await, Some(alice.clone()));
    assert_eq!(delete(&store, alice.id).await, None);
    assert_eq!(user(&store, alice.id).await, None);
    let by_email = store.user_by_email(&alice.email, Freshness::Primary).await;
    assert_eq!(by_email.unwrap(), None);
    assert_eq!(store.session(session.id).await.unwrap(), None);
    let used = store.rotate(token(&session, 0, NOW)).await.unwrap();
    assert_eq!(used, Rotation::Unknown);
    let of_bob = store
        .live_sessions(bob.id, Liveness::at(NOW))
        .await
        .unwrap();
    assert_eq!(of_bob.len(), 1);
    given.user(&store, "alice@example.com").await;
}

/// Neither by registration nor by import.
pub async fn the_id_of_a_deleted_user_never_comes_back(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    delete(&store, alice.id).await;
    let again = NewUser {
        id: alice.id,
        ..given.new_user("other@example.com")
    };
    let mut tx = store.begin().await.unwrap();
    let refused = tx.insert_user(&again).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Constraint::Id))));
    drop(tx);
    let again = ImportedUser {
        id: alice.id,
        ..imported(&given, "other@example.com")
    };
    assert_eq!(import(&store, &[again]).await, [Imported::IdDeleted]);
}

/// Delivered ones at once, one that waits with its delivery, those that failed for good go.
pub async fn events_of_a_deleted_user_lose_their_contents(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    let bobs = event(&store, &given, bob.id).await;
    settle(&store, bobs, Delivered::Success).await;
    let delivered = event(&store, &given, alice.id).await;
    settle(&store, delivered, Delivered::Success).await;
    let waiting = event(&store, &given, alice.id).await;
    let failed = event(&store, &given, alice.id).await;
    settle(&store, failed, Delivered::Failed).await;

    delete(&store, alice.id).await;
    let events = store.events_of(alice.id, 0, MANY).await.unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.id, event.status, event.payload.is_empty()))
        .collect();
    assert_eq!(
        seen,
        [
            (delivered, EventStatus::Success, true),
            (waiting, EventStatus::InProgress, false),
        ]
    );
    assert_eq!(
        store
            .pending_events(ShardSet::ALL, MANY)
            .await
            .unwrap()
            .len(),
        1
    );
    settle(&store, waiting, Delivered::Success).await;
    let events = store.events_of(alice.id, 0, MANY).await.unwrap();
    assert!(events.iter().all(|event| event.payload.is_empty()));
    let events = store.events_of(bob.id, 0, MANY).await.unwrap();
    assert!(!events[0].payload.is_empty());
}

/// What he did and what was done to him stays known, not from where.
pub async fn the_audit_log_keeps_a_deleted_user_as_his_id_only(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    let record = |actor: Actor, user: UserId| NewAudit {
        actor,
        user: Some(user),
        address: Some("192.0.2.1".parse().unwrap()),
        agent: Some(Agent::new("curl/8.0")),
        ..NewAudit::new(NOW, AuditAction::Login, AuditResult::Success)
    };
    let (his, others) = (Actor::User(alice.id), Actor::User(bob.id));
    let records = [
        record(his.clone(), alice.id),
        record(his, bob.id),
        record(Actor::Anonymous, alice.id),
        record(Actor::Anonymous, bob.id),
        record(others.clone(), bob.id),
        record(others, alice.id),
        record(Actor::Operator, alice.id),
        record(Actor::Service("shop".into()), alice.id),
        record(Actor::Service("shop".into()), bob.id),
    ];
    let by_service = AuditAction::ALL.map(|action| NewAudit {
        action,
        ..record(Actor::Service("shop".into()), alice.id)
    });
    let records = [&records[..], &by_service].concat();
    commit!(store, tx => tx.append_audits(&records));
    delete(&store, alice.id).await;
    // What was summed up meanwhile.
    commit!(store, tx => tx.append_audits(&records));
    let all = AuditPage {
        limit: MANY,
        ..AuditPage::default()
    };
    let kept: Vec<_> = store
        .audit(&all)
        .await
        .unwrap()
        .into_iter()
        .rev()
        .map(|record| record.address.is_some() || record.agent.is_some())
        .collect();
    let fixed = [false, false, false, true, true, true, true, false, true];
    // What a service does for itself keeps where it is: it may have been stolen.
    let by_service = AuditAction::ALL.map(|action| !action.is_own());
    let each = [&fixed[..], &by_service].concat();
    assert_eq!(kept, [&each[..], &each].concat());
}

/// Alive or not, in pages; nobody else's.
pub async fn everything_of_a_user_is_read_in_pages(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    given.session(&store, &bob).await;
    event(&store, &given, bob.id).await;
    let ended = given.session(&store, &alice).await;
    commit!(store, tx => tx.end_session(ended.id, None, NOW));
    let mut sessions = vec![ended.id, given.session(&store, &alice).await.id];
    sessions.sort();
    let first = store.sessions_of(alice.id, None, 1).await.unwrap();
    let rest = store.sessions_of(alice.id, Some(first[0].id), MANY).await;
    let read: Vec<_> = first
        .into_iter()
        .chain(rest.unwrap())
        .map(|s| s.id)
        .collect();
    assert_eq!(read, sessions);

    let events = [
        event(&store, &given, alice.id).await,
        event(&store, &given, alice.id).await,
    ];
    settle(&store, events[0], Delivered::Success).await;
    let first = store.events_of(alice.id, 0, 1).await.unwrap();
    assert_eq!(first[0].delivered_at, Some(NOW));
    let rest = store.events_of(alice.id, first[0].sequence, MANY).await;
    let read: Vec<_> = first
        .into_iter()
        .chain(rest.unwrap())
        .map(|e| e.id)
        .collect();
    assert_eq!(read, events);
}

/// What ended is past its age by its end, not by its start.
pub async fn sessions_are_swept_some_time_after_their_end(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let ended = given.session(&store, &alice).await;
    commit!(store, tx => tx.end_session(ended.id, None, NOW));
    let going_on = given.session(&store, &alice).await;

    let sweep = |before| store.sweep(Swept::Sessions, before, MANY);
    assert_eq!(sweep(NOW).await.unwrap(), 0);
    assert_eq!(sweep(NOW + TICK).await.unwrap(), 1);
    assert_eq!(store.session(ended.id).await.unwrap(), None);
    assert_eq!(sweep(NOW + LIFE).await.unwrap(), 0);
    assert_eq!(sweep(NOW + LIFE + TICK).await.unwrap(), 1);
    assert_eq!(store.session(going_on.id).await.unwrap(), None);
}

/// Those that wait stay, however old; those that failed stay, unless nobody is left to mend them.
pub async fn delivered_events_are_swept_by_their_delivery(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let bob = given.user(&store, "bob@example.com").await;
    let delivered = event(&store, &given, alice.id).await;
    settle(&store, delivered, Delivered::Success).await;
    let waiting = event(&store, &given, alice.id).await;
    let failed = event(&store, &given, bob.id).await;
    settle(&store, failed, Delivered::Failed).await;

    let sweep = |before| store.sweep(Swept::Events, before, MANY);
    assert_eq!(sweep(NOW).await.unwrap(), 0);
    assert_eq!(sweep(NOW + LIFE).await.unwrap(), 1);
    assert_eq!(store.backlog().await.unwrap().failed, 1);
    let pending = store.pending_events(ShardSet::ALL, MANY).await.unwrap();
    assert_eq!(pending[0].id, waiting);

    delete(&store, alice.id).await;
    settle(&store, waiting, Delivered::Failed).await;
    assert_eq!(sweep(NOW).await.unwrap(), 1);
    assert_eq!(store.backlog().await.unwrap().failed, 1);
}

/// It holds personal data, and nobody can resend it any more.
pub async fn skipped_events_are_swept_by_the_time_of_the_skip(store: Arc<dyn Store>) {
    let given = Given::new();
    let user = given.user_id();
    let (skipped, failed) = (
        event(&store, &given, user).await,
        event(&store, &given, user).await,
    );
    for id in [skipped, failed] {
        settle(&store, id, Delivered::Failed).await;
    }
    commit!(store, tx => tx.skip_event(skipped, NOW));
    assert_eq!(store.sweep(Swept::Events, NOW, MANY).await.unwrap(), 0);
    let later = NOW + TICK;
    assert_eq!(store.sweep(Swept::Events, later, MANY).await.unwrap(), 1);
    let left = store.events_of(user, 0, MANY).await.unwrap();
    assert_eq!(
        left.iter().map(|event| event.id).collect::<Vec<_>>(),
        [failed]
    );
}

/// The next entry still has a higher id.
pub async fn revocations_and_records_are_swept_by_their_time_in_batches(store: Arc<dyn Store>) {
    let given = Given::new();
    let revocation = NewRevocation {
        revoked: Revoked::Session(given.session_id()),
        until: NOW,
    };
    let record = NewAudit::new(NOW, AuditAction::Login, AuditResult::Success);
    let mut last = 0;
    for _ in 0..3 {
        last = commit!(store, tx => tx.revoke(&revocation)).id;
        commit!(store, tx => tx.append_audit(&record));
    }
    for table in [Swept::Revocations, Swept::Audit] {
        assert_eq!(store.sweep(table, NOW, MANY).await.unwrap(), 0);
        assert_eq!(store.sweep(table, NOW + TICK, 2).await.unwrap(), 2);
        assert_eq!(store.sweep(table, NOW + TICK, 2).await.unwrap(), 1);
        assert_eq!(store.sweep(table, NOW + TICK, 2).await.unwrap(), 0);
    }
    let next = commit!(store, tx => tx.revoke(&revocation));
    assert!(next.id > last);
}
