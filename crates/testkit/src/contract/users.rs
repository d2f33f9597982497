//! Users.

use std::sync::Arc;

use sso_core::{
    ports::{
        Store, StoreError,
        store::{Constraint, Freshness, NewUser, User, UserPage},
    },
    values::{Birthday, Email, Name, Version},
};
use time::macros::date;

use super::given::{Given, NOW, hash, password};

async fn read(store: &Arc<dyn Store>, user: &User) -> User {
    store
        .user(user.id, Freshness::Primary)
        .await
        .unwrap()
        .unwrap()
}

/// By id and by address, whatever its case, however fresh.
pub async fn a_user_comes_back_as_he_was_stored(store: Arc<dyn Store>) {
    let new = NewUser {
        name: Some(Name::parse("Ðóra \"O'Neil\" 名前").unwrap()),
        birthday: Some(Birthday::from_date(date!(2000 - 02 - 29))),
        is_admin: true,
        ..Given::new().new_user("Alice.O'Neil@Example.com")
    };
    let stored = commit!(store, tx => tx.insert_user(&new));
    assert_eq!(
        stored,
        User {
            id: new.id,
            email: new.email.clone(),
            email_verified: false,
            password_hash: new.password_hash.clone(),
            name: new.name.clone(),
            birthday: new.birthday,
            is_admin: true,
            disabled: false,
            version: stored.version,
            sessions_from: stored.sessions_from,
            created_at: NOW,
        }
    );
    assert!(stored.version > Version::ZERO && stored.sessions_from <= stored.version);

    let other_case = Email::parse("aLICE.o'nEIL@eXAMPLE.COM").unwrap();
    for fresh in [
        Freshness::Any,
        Freshness::AtLeast(stored.version),
        Freshness::Primary,
    ] {
        assert_eq!(
            store.user(new.id, fresh).await.unwrap().as_ref(),
            Some(&stored)
        );
        let by_email = store.user_by_email(&other_case, fresh).await.unwrap();
        assert_eq!(by_email.as_ref(), Some(&stored));
    }
}

/// Not found is no error.
pub async fn an_unknown_user_is_none(store: Arc<dyn Store>) {
    let new = Given::new().new_user("nobody@example.com");
    assert_eq!(store.user(new.id, Freshness::Any).await.unwrap(), None);
    let by_email = store.user_by_email(&new.email, Freshness::Primary).await;
    assert_eq!(by_email.unwrap(), None);
}

/// The constraint decides, not a read.
pub async fn an_address_is_taken_in_every_spelling_of_its_case(store: Arc<dyn Store>) {
    let given = Given::new();
    given.user(&store, "alice@example.com").await;
    let mut tx = store.begin().await.unwrap();
    let second = tx.insert_user(&given.new_user("ALICE@example.COM")).await;
    assert!(matches!(
        second,
        Err(StoreError::Conflict(Constraint::Email))
    ));
}

/// Ids are the use case's; a second use of one is told.
pub async fn an_id_is_used_once(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    let session = given.session(&store, &alice).await;
    let event = given.new_event(alice.id);
    commit!(store, tx => tx.append_event(&event));

    let again = NewUser {
        id: alice.id,
        ..given.new_user("bob@example.com")
    };
    let mut tx = store.begin().await.unwrap();
    let conflict = tx.insert_user(&again).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict(Constraint::Id)));

    let mut again = given.new_session(alice.id, NOW);
    again.id = session.id;
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    let conflict = tx.open_session(&again, alice.version).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict(Constraint::Id)));

    drop(tx);
    let mut tx = store.begin().await.unwrap();
    let conflict = tx.append_event(&event).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict(Constraint::Id)));
}

/// Password, disabling and logout everywhere end sessions; enabling and the role do not.
pub async fn a_change_raises_the_version_and_some_end_the_sessions(store: Arc<dyn Store>) {
    let before = Given::new().user(&store, "alice@example.com").await;
    let id = before.id;

    let admin = commit!(store, tx => tx.set_admin(id, true)).unwrap();
    assert!(admin.is_admin && admin.version > before.version);
    assert_eq!(admin.sessions_from, before.sessions_from);

    let disabled = commit!(store, tx => tx.set_disabled(id, true)).unwrap();
    assert!(disabled.disabled && disabled.version > admin.version);
    assert_eq!(disabled.sessions_from, disabled.version);

    let enabled = commit!(store, tx => tx.set_disabled(id, false)).unwrap();
    assert!(!enabled.disabled && enabled.version > disabled.version);
    assert_eq!(enabled.sessions_from, disabled.sessions_from);

    let ended = commit!(store, tx => tx.end_user_sessions(id)).unwrap();
    assert!(ended.version > enabled.version);
    assert_eq!(ended.sessions_from, ended.version);

    let change = password(id, None, "second");
    let changed = commit!(store, tx => tx.set_password(&change)).unwrap();
    assert!(changed.version > ended.version);
    assert_eq!(changed.sessions_from, changed.version);
    assert_eq!(changed.password_hash, hash("second"));
    assert_eq!(read(&store, &before).await, changed);
}

/// A no-op returns the row as it is.
pub async fn setting_what_is_set_changes_nothing(store: Arc<dyn Store>) {
    let before = Given::new().user(&store, "alice@example.com").await;
    let id = before.id;
    assert_eq!(
        commit!(store, tx => tx.set_admin(id, false)),
        Some(before.clone())
    );
    assert_eq!(
        commit!(store, tx => tx.set_disabled(id, false)),
        Some(before)
    );
    let disabled = commit!(store, tx => tx.set_disabled(id, true));
    assert_eq!(commit!(store, tx => tx.set_disabled(id, true)), disabled);
}

/// What the current password was verified against must still be there.
pub async fn a_password_is_set_only_at_the_version_that_was_seen(store: Arc<dyn Store>) {
    let seen = Given::new().user(&store, "alice@example.com").await;
    let newer = commit!(store, tx => tx.set_admin(seen.id, true)).unwrap();

    let stale = password(seen.id, Some(seen.version), "second");
    assert_eq!(commit!(store, tx => tx.set_password(&stale)), None);
    assert_eq!(read(&store, &seen).await, newer);

    let fresh = password(seen.id, Some(newer.version), "second");
    let changed = commit!(store, tx => tx.set_password(&fresh)).unwrap();
    assert_eq!(changed.password_hash, hash("second"));
}

/// Nobody is made by changing him.
pub async fn changes_of_an_unknown_user_are_none(store: Arc<dyn Store>) {
    let id = Given::new().user_id();
    let change = password(id, None, "second");
    assert_eq!(commit!(store, tx => tx.set_password(&change)), None);
    assert_eq!(commit!(store, tx => tx.set_disabled(id, true)), None);
    assert_eq!(commit!(store, tx => tx.set_admin(id, true)), None);
    assert_eq!(commit!(store, tx => tx.end_user_sessions(id)), None);
    assert!(
        !store
            .rehash(id, &hash("first"), &hash("second"))
            .await
            .unwrap()
    );
}

/// By cursor.
pub async fn users_are_listed_by_id_in_pages(store: Arc<dyn Store>) {
    let given = Given::new();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(given.user(&store, &format!("user{n}@example.com")).await.id);
    }
    ids.sort();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.users(UserPage { after, limit: 2 }).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page.iter().map(|user| user.id));
    }
    assert_eq!(listed, ids);
}

/// And changes no version: nobody's token is made old by it.
pub async fn a_rehash_replaces_only_the_hash_that_was_verified(store: Arc<dyn Store>) {
    let before = Given::new().user(&store, "alice@example.com").await;
    assert!(
        !store
            .rehash(before.id, &hash("other"), &hash("new"))
            .await
            .unwrap()
    );
    assert_eq!(read(&store, &before).await, before);
    assert!(
        store
            .rehash(before.id, &hash("first"), &hash("new"))
            .await
            .unwrap()
    );
    let after = User {
        password_hash: hash("new"),
        ..before.clone()
    };
    assert_eq!(read(&store, &before).await, after);
}
