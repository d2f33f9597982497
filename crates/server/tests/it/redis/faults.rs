//! Whatever happens to Redis, revocations go on: nothing is accepted after `everywhere`, and no
//! valid token is refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::*;

/// Revokes by turns until it is told to stop.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    everywhere: AtomicUsize,
    pending: AtomicUsize,
}

impl Load {
    async fn run(&self, three: &Three, lane: usize) -> Result<()> {
        let valid = Persona::register(&three.servers[lane].http, &unique()).await?;
        let mut number = lane;
        while !self.stop.load(Relaxed) {
            let revoked = three.revoke(number % 3).await?;
            ensure!(revoked.accepted == 0, "accepted after everywhere");
            let counted = match revoked.reach.as_str() {
                "everywhere" => &self.everywhere,
                _ => &self.pending,
            };
            counted.fetch_add(1, Relaxed);
            let reply = valid.at(&three.servers[number % 3].http).info().await?;
            ensure!(
                reply.status == StatusCode::OK,
                "a valid token was refused: {reply:?}"
            );
            number += 1;
        }
        Ok(())
    }

    /// Waits until so many more were answered.
    async fn go_on(&self, what: &str) -> Result<()> {
        let before = self.everywhere.load(Relaxed);
        eventually_within(LONG, &format!("revocations {what}"), async || {
            Ok(self.everywhere.load(Relaxed) >= before + 20)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_go_on_whatever_happens_to_redis() -> Result<()> {
    let mut redis = RedisSentinel::start().await?;
    let three = Three::start("redis_faults", Some(&redis)).await?;
    let load = Load::default();
    let faults = async {
        let done = faults(&mut redis, &three, &load).await;
        load.stop.store(true, Relaxed);
        done
    };
    let (faults, one, two) = tokio::join!(faults, load.run(&three, 0), load.run(&three, 1));
    let (everywhere, pending) = (load.everywhere.load(Relaxed), load.pending.load(Relaxed));
    println!("everywhere {everywhere}, pending {pending}");
    faults?;
    one?;
    two?;
    assert!(
        pending <= everywhere / 100,
        "{pending} of {everywhere} were pending"
    );
    Ok(())
}

async fn faults(redis: &mut RedisSentinel, three: &Three, load: &Load) -> Result<()> {
    load.go_on("with Redis").await?;

    let master = redis.master().await?;
    redis.servers[master].kill9()?;
    load.go_on("without a master").await?;
    redis.master_after(master).await?;
    three.have_redis("up").await?;
    load.go_on("after kill -9 of the master").await?;
    redis.servers[master].start().await?;
    redis.ready().await?;

    redis.failover().await?;
    load.go_on("after SENTINEL FAILOVER").await?;
    redis.ready().await?;

    let master = redis.master().await?;
    redis.cut_replication().await?;
    load.go_on("that Redis will lose").await?;
    redis.servers[master].kill9()?;
    redis.master_after(master).await?;
    redis.mend_replication().await?;
    load.go_on("after Redis lost some").await?;
    redis.servers[master].start().await?;
    redis.ready().await?;

    let master = redis.master().await?;
    redis.servers[master].freeze()?;
    redis.master_after(master).await?;
    redis.servers[master].thaw()?;
    load.go_on("with two masters").await?;
    redis.ready().await?;
    three.have_redis("up").await?;

    redis.flushall().await?;
    load.go_on("after FLUSHALL").await?;
    redis.restart_master_empty().await?;
    load.go_on("after a restart without data").await?;

    let server = &redis.servers[redis.master().await?];
    server
        .command(&["set", "sso:revocations", "nonsense"])
        .await?;
    load.go_on("beside another type").await?;
    let last = [
        "xadd",
        "sso:revocations",
        "18446744073709551615-1",
        "a",
        "b",
    ];
    server.command(&last).await?;
    load.go_on("without ids").await?;
    for _ in 0..50 {
        let nonsense = ["xadd", "sso:revocations", "*", "id", "1", "seal", "none"];
        // Another may have used up the ids.
        let _ = server.command(&nonsense).await;
        server
            .command(&["xtrim", "sso:revocations", "maxlen", "0"])
            .await?;
    }
    load.go_on("between nonsense").await?;

    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.kill9()?;
    }
    three.have_redis("down").await?;
    load.go_on("without any Redis").await?;
    for server in &three.servers {
        let ready = server.http.get("/auth/ready", None).await?;
        ensure!(ready.status == StatusCode::OK && ready.json()["state"] == "degraded");
    }
    for server in redis.servers.iter_mut().chain(&mut redis.sentinels) {
        server.start().await?;
    }
    three.have_redis("up").await?;
    load.go_on("with Redis again").await
}
