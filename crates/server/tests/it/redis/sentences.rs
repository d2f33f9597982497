//! What an operator is told.

use serde_json::Value;
use sso_testkit::servers::Redis;

use super::*;

fn of_redis(site: &Site) -> Result<(String, String)> {
    let output = site.run(&["doctor", "--output", "json"])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(!text.contains("hidden"), "{text}");
    let found: Value = serde_json::from_str(&text)?;
    let findings = found["findings"].as_array().context("no findings")?;
    let finding = findings.iter().find(|finding| finding["check"] == "redis");
    let finding = finding.context("nothing of Redis")?;
    let word = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    Ok((word("severity"), word("what")))
}

/// And a server starts nevertheless.
#[tokio::test]
async fn each_mistake_is_one_sentence_and_none_keeps_the_server_from_starting() -> Result<()> {
    let redis = Redis::start().await?;
    let at = redis.server.address();
    let mut site = site()?;
    site.set("SSO__REDIS__URL", redis.url());
    let well = ("ok".to_owned(), format!("the master {at} answers"));
    site.serve().await?.terminate()?;
    assert_eq!(of_redis(&site)?, well);

    site.set("SSO__REDIS__URL", format!("redis://:hidden@{at}"));
    let unknown = format!("Redis {at} does not know us: correct redis.username and redis.password");
    assert_eq!(of_redis(&site)?, ("error".to_owned(), unknown.clone()));
    let server = site.serve().await?;
    eventually_within(LONG, "the sentence", async || {
        let found = crate::kafka::dependency(&server, "redis").await?;
        Ok(found["state"] == "down" && found["cause"] == unknown)
    })
    .await?;
    let ready = server.http.get("/auth/ready", None).await?;
    assert_eq!(ready.json()["state"], "degraded");
    assert!(!site.log()?.contains("hidden"));

    site.set("SSO__REDIS__URL", redis.url())
        .set("SSO__REDIS__TLS", true);
    let (severity, plain) = of_redis(&site)?;
    assert_eq!(severity, "error");
    assert!(
        plain.starts_with(&format!("Redis {at} does not ")) && plain.contains("TLS"),
        "{plain}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_master_name_is_one_sentence() -> Result<()> {
    let cluster = RedisSentinel::start().await?;
    let mut site = site()?;
    let sentinel = cluster.sentinel_addresses()[0];
    site.set("SSO__REDIS__SENTINELS", sentinel)
        .set("SSO__REDIS__MASTER_NAME", "mymaster")
        .set("SSO__REDIS__PASSWORD", PASSWORD)
        .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD);
    let said =
        format!("the sentinel {sentinel} knows no master of this name: correct redis.master_name");
    assert_eq!(of_redis(&site)?, ("error".to_owned(), said));
    Ok(())
}
