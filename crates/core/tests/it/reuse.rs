//! Of refresh tokens that were used again after the grace, or whose session is not there, the operator
//! is told.

use sso_core::{
    Caller,
    metrics::{REFRESH_REUSE, REFRESH_UNKNOWN},
    usecases::administer::delete,
};

use crate::support::{
    AnyStore, SECOND, app,
    capture::{Log, recorder},
    code, on_every_store,
};

on_every_store! {
    a_reuse_is_counted_and_logged_once_without_the_token
    a_session_that_is_not_there_is_counted_and_logged_without_the_token
}

async fn a_reuse_is_counted_and_logged_once_without_the_token(store: AnyStore) {
    let (recorder, log) = (recorder(), Log::default());
    let _recording = metrics::set_default_local_recorder(&recorder);
    let _logging = log.start();
    let app = app(store).await;
    let first = app.register("alice").await.unwrap();
    let second = app.refresh(&first.refresh_token).await.unwrap();
    app.clock.advance(31 * SECOND);
    assert!(!recorder.handle().render().contains(REFRESH_REUSE));

    for token in [&first, &first, &second] {
        assert_eq!(
            code(app.refresh(&token.refresh_token).await),
            "token_revoked"
        );
    }
    let metrics = recorder.handle().render();
    assert!(metrics.contains(&format!("{REFRESH_REUSE} 1")), "{metrics}");
    let text = log.text();
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0].contains("used again after the grace"), "{text}");
    assert!(warnings[0].contains(&first.user.to_string()), "{text}");
    assert!(!text.contains(&first.refresh_token), "{text}");
}

async fn a_session_that_is_not_there_is_counted_and_logged_without_the_token(store: AnyStore) {
    let (recorder, log) = (recorder(), Log::default());
    let _recording = metrics::set_default_local_recorder(&recorder);
    let _logging = log.start();
    let app = app(store).await;
    let alice = app.register("alice").await.unwrap();
    delete(&app.sso, &Caller::operator(), alice.user)
        .await
        .unwrap();
    assert_eq!(
        code(app.refresh(&alice.refresh_token).await),
        "token_revoked"
    );
    let metrics = recorder.handle().render();
    assert!(
        metrics.contains(&format!("{REFRESH_UNKNOWN} 1")),
        "{metrics}"
    );
    let text = log.text();
    assert!(text.contains("session is not there"), "{text}");
    assert!(!text.contains(&alice.refresh_token), "{text}");
}
