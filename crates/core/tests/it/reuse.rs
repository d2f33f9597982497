//! A token that was used again after the grace is told to the operator, once.

use sso_core::metrics::REFRESH_REUSE;

use crate::support::{
    AnyStore, SECOND, app,
    capture::{Log, recorder},
    code, on_every_store,
};

on_every_store! {
    a_reuse_is_counted_and_logged_once_without_the_token
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
