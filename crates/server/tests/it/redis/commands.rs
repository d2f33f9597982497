//! What the command line takes away is told by Redis too.

use super::*;

/// How many entries of ours an instance has heard by the stream.
async fn heard(server: &Server) -> Result<u64> {
    let metrics = server.admin.get("/metrics", None).await?;
    let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let name = "sso_redis_received_total{outcome=\"ours\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.context("no such metric")?.parse()?)
}

// A command holds up its thread, and connections that end meanwhile must be seen to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_access_away_tells_every_instance_by_the_stream() -> Result<()> {
    let mut redis = RedisSentinel::start().await?;
    let three = Three::start("redis_commands", Some(&redis)).await?;
    for (command, wait) in [
        ("disable", true),
        ("set-admin", true),
        ("end-sessions", false),
    ] {
        let somebody = Persona::register(&three.servers[0].http, &unique()).await?;
        let before = [0, 1, 2].map(|at| &three.servers[at]).map(heard);
        let before = try_join_all(before).await?;
        let mut words = vec!["user", command, &somebody.email];
        if !wait {
            words.push("--no-wait");
        }
        let said = three.sites[0].run_ok(&words)?;
        assert_eq!(said.contains("everywhere"), wait, "{said}");
        for (server, before) in three.servers.iter().zip(before) {
            eventually_within(LONG, "the stream tells", async || {
                Ok(heard(server).await? > before)
            })
            .await?;
            let reply = somebody.at(&server.http).info().await?;
            ensure!(reply.status == StatusCode::UNAUTHORIZED, "{reply:?}");
        }
    }

    // Without any Redis it does what it does.
    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.kill9()?;
    }
    let somebody = Persona::register(&three.servers[0].http, &unique()).await?;
    let said = three.sites[0].run_ok(&["user", "end-sessions", &somebody.email])?;
    assert!(said.contains("everywhere"), "{said}");
    Ok(())
}
