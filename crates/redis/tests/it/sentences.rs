//! What is said when it is wrong: one sentence with what to do, and no secret in it.

use std::fs;

use anyhow::Result;
use sso_redis::{Redis, Secret, Settings, Status, Target, Tls};
use sso_testkit::{
    pki::{Authority, Wanted},
    servers::{Port, Redis as Server, RedisSentinel},
};
use time::macros::datetime;

use crate::support::{address, one, sentinels};

async fn said(settings: Settings) -> Result<String> {
    match Redis::new(settings)?.examine().await {
        Status::Down(said) => {
            assert!(!said.contains("hidden"), "{said}");
            Ok(said)
        }
        status => Ok(format!("{status:?}")),
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_redis_is_said() -> Result<()> {
    let redis = Server::start().await?;
    let at = redis.server.address();
    let mut wrong = one(at);
    wrong.access.password = Some(Secret::new("hidden"));
    let unknown = format!("Redis {at} does not know us: correct redis.username and redis.password");
    assert_eq!(said(wrong).await?, unknown);
    let mut none = one(at);
    none.access.password = None;
    assert_eq!(said(none).await?, unknown);

    let mut tls = one(at);
    tls.tls = Some(Tls::default());
    // It may wait for more of what it takes for a command.
    let plain = said(tls).await?;
    assert!(
        plain.starts_with(&format!("Redis {at} does not ")),
        "{plain}"
    );
    assert!(plain.contains("speak TLS"), "{plain}");

    let nobody = Port::free()?;
    let refused = said(one(nobody.address())).await?;
    assert!(refused.contains("refused"), "{refused}");

    redis
        .server
        .command(&["acl", "setuser", "narrow", "on", ">hidden", "~*", "+ping"])
        .await?;
    let mut narrow = one(at);
    narrow.access.username = Some("narrow".to_owned());
    narrow.access.password = Some(Secret::new("hidden"));
    let not_allowed = said(narrow).await?;
    assert!(not_allowed.contains("does not let us"), "{not_allowed}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_said() -> Result<()> {
    let cluster = RedisSentinel::start().await?;
    let mut named = sentinels(&cluster);
    let Target::Sentinels { master_name, .. } = &mut named.target else {
        unreachable!()
    };
    *master_name = "nobody".to_owned();
    let name = said(named).await?;
    assert!(name.starts_with("the sentinel 127.0.0.1:"), "{name}");
    let end = "knows no master of this name: correct redis.master_name";
    assert!(name.ends_with(end), "{name}");

    let mut wrong = sentinels(&cluster);
    wrong.sentinel_access.password = Some(Secret::new("hidden"));
    let password = said(wrong).await?;
    let end = "does not know us: correct redis.sentinel_username and redis.sentinel_password";
    assert!(password.ends_with(end), "{password}");

    let mut mistaken = one(cluster.sentinel_addresses()[0]);
    mistaken.access = sentinels(&cluster).sentinel_access;
    let mistaken = said(mistaken).await?;
    assert!(
        mistaken.contains("is a sentinel, not a Redis"),
        "{mistaken}"
    );

    let master = cluster.master().await?;
    let replica = cluster.servers[(master + 1) % 3].address();
    let replica = said(one(replica)).await?;
    assert!(replica.ends_with("is not a master"), "{replica}");
    Ok(())
}

#[tokio::test]
async fn tls_is_spoken_by_our_own_roots_and_nobody_else_is_believed() -> Result<()> {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let mut wanted = Wanted::of(&["127.0.0.1"], datetime!(2000-01-01 00:00 UTC));
    wanted.lasts = time::Duration::days(36_500);
    let redis = Server::start_with_tls(&ours, &ours.issue(&wanted)?).await?;
    let at = redis.server.address();
    let folder = tempfile::tempdir()?;
    let root = |name: &str, text: String| {
        let file = folder.path().join(name);
        fs::write(&file, text).map(|()| file)
    };
    let by = |ca| {
        let mut settings = one(at);
        settings.tls = Some(Tls {
            ca: Some(ca),
            identity: None,
        });
        settings
    };
    let good = by(root("ours.pem", ours.root())?);
    assert_eq!(said(good).await?, format!("Up({:?})", address(at)));
    let stranger = said(by(root("other.pem", other.root())?)).await?;
    assert!(stranger.contains("cannot be trusted"), "{stranger}");
    let clear = said(one(at)).await?;
    assert!(clear.contains("does it want TLS"), "{clear}");
    assert!(
        Redis::new(by(root(
            "bad.pem",
            "-----BEGIN CERTIFICATE-----".to_owned()
        )?))
        .is_err()
    );
    assert!(Redis::new(by("nowhere.pem".into())).is_err());
    Ok(())
}
