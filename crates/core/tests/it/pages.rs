//! Lists in pages.

use sso_core::{
    Caller, Failure, Fields,
    usecases::{Ask, MAX_PAGE, Page, administer, events},
    values::UserId,
};
use sso_testkit::app::App;

use crate::support::{AnyStore, app, code, on_every_store};

on_every_store! {
    pages_of_users_join_without_a_gap
    a_cursor_is_for_its_own_list_only
    a_bad_limit_and_a_bad_cursor_are_told_together
}

async fn users(app: &App, limit: u32, cursor: &str) -> Result<Page<UserId>, Failure> {
    let ask = Ask { limit, cursor };
    let page = administer::page(&app.sso, &Caller::operator(), ask, Fields::default()).await?;
    Ok(Page {
        items: page.items.iter().map(|user| user.id).collect(),
        next: page.next,
    })
}

async fn events(app: &App, status: &str, limit: u32, cursor: &str) -> Result<usize, Failure> {
    let ask = Ask { limit, cursor };
    let operator = Caller::operator();
    let page = events::page(&app.sso, &operator, status, ask, Fields::default()).await?;
    Ok(page.items.len())
}

async fn pages_of_users_join_without_a_gap(store: AnyStore) {
    let app = app(store).await;
    let mut all = Vec::new();
    for at in 0..7 {
        all.push(app.register(&format!("user{at}")).await.unwrap().user);
    }
    all.sort();
    for size in [1, 2, 3, 6, 7, 8] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = users(&app, size, &cursor).await.unwrap();
            assert!(page.items.len() <= size as usize);
            seen.extend(page.items);
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        assert_eq!(seen, all, "{size}");
    }
    // The last full page says that it is the last.
    assert_eq!(users(&app, 7, "").await.unwrap().next, None);
    assert_eq!(users(&app, 0, "").await.unwrap().items.len(), 7);
}

async fn a_cursor_is_for_its_own_list_only(store: AnyStore) {
    let app = app(store).await;
    for name in ["alice", "bob", "carol"] {
        app.register(name).await.unwrap();
    }
    let of_users = users(&app, 1, "").await.unwrap().next.unwrap();
    let ask = Ask {
        limit: 1,
        cursor: "",
    };
    let operator = Caller::operator();
    let page = events::page(&app.sso, &operator, "inProgress", ask, Fields::default()).await;
    let of_pending = page.unwrap().next.unwrap();

    assert_eq!(events(&app, "inProgress", 5, &of_pending).await.unwrap(), 2);
    assert_eq!(users(&app, 5, &of_users).await.unwrap().items.len(), 2);
    for forged in [
        events(&app, "", 5, &of_pending).await,
        events(&app, "Failed", 5, &of_pending).await,
        events(&app, "inProgress", 5, &of_users).await,
        users(&app, 5, &of_pending)
            .await
            .map(|page| page.items.len()),
        users(&app, 5, "AAAA").await.map(|page| page.items.len()),
        users(&app, 5, &of_users[1..])
            .await
            .map(|page| page.items.len()),
    ] {
        assert_eq!(code(forged), "invalid_cursor");
    }
    assert_eq!(code(events(&app, "failed", 5, "").await), "invalid_status");
}

async fn a_bad_limit_and_a_bad_cursor_are_told_together(store: AnyStore) {
    let app = app(store).await;
    assert!(users(&app, MAX_PAGE, "").await.is_ok());
    let failure = users(&app, MAX_PAGE + 1, "nonsense").await.unwrap_err();
    let bad: Vec<_> = failure
        .fields
        .iter()
        .map(|bad| (bad.field, bad.code))
        .collect();
    assert_eq!(
        bad,
        [("limit", "out_of_range"), ("cursor", "invalid_cursor")]
    );
}
