//! How often the registry is asked.

use std::sync::Arc;

use anyhow::Result;

use super::{Notes, Running, topics};
use crate::support::{deliver_all, events, eventually, sink};

#[tokio::test]
async fn many_events_of_a_schema_ask_the_registry_once() -> Result<()> {
    let (kafka, registry) = topics(3).await?;
    deliver_all(&sink(&kafka, &registry)?, &events(0..600)).await?;
    let before = registry.requests();
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("all are handled", async || Ok(notes.count() == 600)).await?;
    assert_eq!(registry.requests() - before, 1);
    running.stop().await
}

#[tokio::test]
async fn many_events_that_wait_for_a_registry_ask_it_one_after_the_other() -> Result<()> {
    let (kafka, registry) = topics(3).await?;
    deliver_all(&sink(&kafka, &registry)?, &events(0..600)).await?;
    registry.fail(Some(503));
    let before = registry.requests();
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("it is asked again and again", async || {
        Ok(registry.requests() >= before + 3)
    })
    .await?;
    registry.fail(None);
    eventually("all are handled", async || Ok(notes.count() == 600)).await?;
    // Each time by one of the 600.
    let asked = registry.requests() - before;
    assert!(asked < 20, "{asked} times");
    running.stop().await
}
