//! A cluster ends with its owner, and does what it is told.

use anyhow::Result;
use sso_testkit::servers::kafka::Kafka;

#[tokio::test]
async fn records_survive_the_death_of_a_broker_and_nothing_survives_the_cluster() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    kafka.create_topic("a", 2).await?;
    for key in ["x", "y"] {
        kafka
            .produce("a", key.as_bytes(), b"value", &[("h", "1")])
            .await?;
    }
    kafka.kill9(1)?;
    assert!(kafka.kill9(1).is_err(), "it does not run");
    kafka.start_all().await?;
    let records = kafka.consume_all("a").await?;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].header("h").as_deref(), Some("1"));
    let folder = kafka.authority().parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(kafka);
    assert!(!folder.exists());
    Ok(())
}
