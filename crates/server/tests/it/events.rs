//! The event of a registration, from its row to the log.

use anyhow::Result;
use sso_testkit::persona::Persona;

use crate::support::{eventually, site};

#[tokio::test]
async fn a_registration_is_told_once_without_personal_data() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    eventually("the event is delivered", async || {
        Ok(site.log()?.contains("event delivered to the log"))
    })
    .await?;
    eventually("the backlog is empty", async || {
        let metrics = server.admin.get("/metrics", None).await?;
        let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
        Ok(metrics.contains(r#"sso_outbox_backlog{status="inProgress"} 0"#))
    })
    .await?;
    let log = site.log()?;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("event delivered"))
        .collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(&alice.id));
    for secret in ["alice@", "the secret of", &alice.access, &alice.refresh] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    Ok(())
}
