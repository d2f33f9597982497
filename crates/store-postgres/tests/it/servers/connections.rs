use sso_store_postgres::servers::{Connection, OpenError, Servers};
use sso_testkit::servers::{Options, Postgres, Proxy};
use tokio_postgres::error::SqlState;

use super::*;

async fn pid(connection: &Connection) -> Result<i32> {
    let row = connection.query_one("select pg_backend_pid()", &[]).await?;
    Ok(row.get(0))
}

#[tokio::test]
async fn a_connection_is_used_again_unless_what_it_answered_makes_it_useless() -> Result<()> {
    let server = Postgres::shared().await?;
    let mut settings = settings(&server.url(), &[])?;
    settings.max_connections = 1;
    let servers = Servers::open(&settings).await?;
    let first = servers.primary().await?;
    let first_pid = pid(&first).await?;
    let error = first.batch_execute("select 1 / 0").await.unwrap_err();
    assert!(!first.failed(&error), "{error}");
    drop(first);

    let same = servers.primary().await?;
    assert_eq!(pid(&same).await?, first_pid);
    let read_only = "begin read only; create table t (id int)";
    let error = same.batch_execute(read_only).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    assert!(same.failed(&error));
    drop(same);

    let another = servers.primary().await?;
    let another_pid = pid(&another).await?;
    assert_ne!(another_pid, first_pid, "25006 did not evict");
    server
        .execute(&format!("select pg_terminate_backend({another_pid}, 5000)"))
        .await?;
    let error = another.batch_execute("select 1").await.unwrap_err();
    assert!(another.failed(&error), "{error:?}");
    drop(another);
    assert_ne!(pid(&servers.primary().await?).await?, another_pid);
    Ok(())
}

#[tokio::test]
async fn a_warning_is_counted_before_the_answer_that_it_belongs_to() -> Result<()> {
    let server = Postgres::shared().await?;
    let servers = Servers::open(&settings(&server.url(), &[])?).await?;
    let warn = "do $$ begin raise warning 'mind'; raise notice 'no matter'; end $$";
    let (pooled, own) = (servers.primary().await?, servers.dedicated().await?);
    assert_eq!((pooled.warnings(), own.warnings()), (0, 0));
    for count in 1..=20 {
        pooled.execute(warn, &[]).await?;
        own.execute(warn, &[]).await?;
        assert_eq!((pooled.warnings(), own.warnings()), (count, count));
    }
    Ok(())
}

#[tokio::test]
async fn the_settings_reach_the_server() -> Result<()> {
    let server = Postgres::shared().await?;
    let options = "-c%20work_mem%3D1MB%20-c%20enable_hashjoin%3Don%20-c%20lock_timeout%3D0";
    let url = format!("{}?options={options}", server.url());
    let mut settings = settings(&url, &[])?;
    settings.application_name = "sso of a test".to_owned();
    settings.statement_timeout = Duration::from_millis(1_500);
    settings.lock_timeout = Duration::from_millis(700);
    let servers = Servers::open(&settings).await?;
    let primary = servers.primary().await?;
    let row = primary
        .query_one(
            "select concat_ws(' ', current_setting('application_name'), \
             current_setting('statement_timeout'), current_setting('lock_timeout'), \
             current_setting('idle_in_transaction_session_timeout'), current_setting('work_mem'), \
             current_setting('enable_mergejoin'), current_setting('enable_hashjoin'))",
            &[],
        )
        .await?;
    // The URL has the last word on plans, and not on what bounds a wait.
    let set = "sso of a test 1500ms 700ms 10s 1MB off on";
    assert_eq!(row.get::<_, &str>(0), set);
    Ok(())
}

/// A balancer may lead elsewhere by the next connection; a server that is itself what is addressed does not,
/// and each connection costs it 10 ms.
#[tokio::test]
async fn only_what_may_lead_elsewhere_is_connected_to_again_and_again() -> Result<()> {
    let server = Postgres::shared().await?;
    let (direct, balanced) = (
        server.database("asked_directly").await?,
        server.database("asked_by_a_balancer").await?,
    );
    let proxy = Proxy::start(server.node.address())?;
    let balanced = through(&balanced, proxy.address())?;
    let _both = (
        Servers::open(&settings(&direct, &[])?).await?,
        Servers::open(&settings(&balanced, &[])?).await?,
    );
    tokio::time::sleep(Duration::from_secs(7)).await;
    let connected = proxy.connected();
    let sessions = "select sessions from pg_stat_database where datname = 'asked_directly'";
    let sessions: u64 = server.execute(sessions).await?.parse()?;
    // Three times since the start, by what lies between.
    assert!(sessions + 2 <= connected, "{sessions}, {connected}");
    Ok(())
}

#[tokio::test]
async fn more_callers_than_the_server_has_room_for_wait_for_their_turn() -> Result<()> {
    let tight = Options::new()
        .setting("max_connections", "8")
        .setting("superuser_reserved_connections", "0")
        .setting("max_wal_senders", "0");
    let server = tight.start().await?;
    let mut settings = settings(&server.url(), &[])?;
    settings.max_connections = 32;
    let servers = Servers::open(&settings).await?;
    let callers = (0..40).map(|_| {
        let servers = servers.clone();
        tokio::spawn(async move {
            let primary = servers.primary().await?;
            primary.batch_execute("select pg_sleep(0.05)").await?;
            anyhow::Ok(())
        })
    });
    let callers: Vec<_> = callers.collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_black_hole_costs_the_connect_timeout_and_then_there_is_one_sentence() -> Result<()> {
    let server = Postgres::shared().await?;
    let hole = Proxy::start(server.node.address())?;
    hole.freeze();
    let start = Instant::now();
    let url = through(&server.url(), hole.address())?;
    let error = Servers::open(&settings(&url, &[])?).await.err();
    assert!(
        matches!(error, Some(OpenError::Unreachable(_))),
        "{error:?}"
    );
    assert_eq!(
        error.map(|error| error.to_string()),
        Some(format!(
            "database.url: no server can be reached: {}: no connection in time",
            hole.address()
        ))
    );
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_primary_that_hangs_waits_for_a_bounded_time_in_bounded_number()
-> Result<()> {
    let server = Postgres::shared().await?;
    let network = Proxy::start(server.node.address())?;
    let mut settings = settings(&through(&server.url(), network.address())?, &[])?;
    settings.acquire_timeout = Duration::from_secs(2);
    settings.max_waiting = 3;
    let servers = Servers::open(&settings).await?;
    network.freeze();
    let known = servers.changes();
    eventually("the loss", async || Ok(known.borrow().is_none())).await?;

    let start = Instant::now();
    let callers = (0..10).map(|_| {
        let servers = servers.clone();
        tokio::spawn(async move {
            let refused = servers.primary().await.map(|_| ());
            (refused.map_err(|error| error.to_string()), start.elapsed())
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut at_once = 0;
    for caller in callers {
        let (refused, after) = caller.await?;
        let said = refused
            .err()
            .context("a connection through a frozen network")?;
        if said.contains("too many wait") {
            at_once += 1;
            assert!(after < Duration::from_secs(1), "{after:?}");
        } else {
            assert!(after >= settings.acquire_timeout, "{after:?}: {said}");
            assert!(after < Duration::from_secs(4), "{after:?}: {said}");
        }
    }
    assert_eq!(at_once, 7);
    network.mend();
    eventually("the primary", async || Ok(servers.primary().await.is_ok())).await
}

/// A server that is down refuses at once. Seen red: 800 connections a second, and a core at work.
#[tokio::test]
async fn an_address_that_refuses_at_once_is_asked_in_the_interval_of_the_probes() -> Result<()> {
    let server = Postgres::shared().await?;
    let network = Proxy::start(server.node.address())?;
    let url = through(&server.url(), network.address())?;
    let servers = Servers::open(&settings(&url, &[])?).await?;
    let refusing = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    network.set_target(refusing.local_addr()?);
    network.reset();
    let (mut came, start) = (0, Instant::now());
    while let Ok(accepted) =
        tokio::time::timeout_at((start + Duration::from_secs(1)).into(), refusing.accept()).await
    {
        drop(accepted?);
        came += 1;
    }
    drop(servers);
    ensure!(
        (1..=40).contains(&came),
        "{came} connections in a second, at 50 ms each"
    );
    Ok(())
}

/// It is not as if another was the primary: what is under way goes on when it goes on.
#[tokio::test]
async fn a_primary_that_stalls_for_less_than_the_limit_stays_the_primary() -> Result<()> {
    let server = Postgres::shared().await?;
    let network = Proxy::start(server.node.address())?;
    let mut settings = settings(&through(&server.url(), network.address())?, &[])?;
    settings.probe_timeout = Duration::from_secs(4);
    let servers = Servers::open(&settings).await?;
    let (before, mut changes) = (pid(&servers.primary().await?).await?, servers.changes());
    changes.mark_unchanged();
    network.freeze();
    // Twice as long as what the prober waits until it asks, and longer than a connection may take.
    let stall = tokio::time::timeout(Duration::from_millis(2_500), changes.changed()).await;
    assert!(stall.is_err(), "the primary is {:?}", *changes.borrow());
    network.mend();
    let after = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
    assert!(after.is_err(), "the primary is {:?}", *changes.borrow());
    assert_eq!(pid(&servers.primary().await?).await?, before);

    settings.probe_timeout = Duration::from_millis(200);
    let servers = Servers::open(&settings).await?;
    let known = servers.changes();
    network.freeze();
    eventually("the loss", async || Ok(known.borrow().is_none())).await
}

/// A balancer leads to a server that is gone until it has noticed.
#[tokio::test]
async fn a_connection_that_hangs_does_not_hide_the_next_primary() -> Result<()> {
    let server = Postgres::shared().await?;
    let network = Proxy::start(server.node.address())?;
    let mut settings = settings(&through(&server.url(), network.address())?, &[])?;
    settings.connect_timeout = Duration::from_mins(1);
    let servers = Servers::open(&settings).await?;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    network.set_target(gone.local_addr()?);
    network.reset();
    let (hanging, _) = gone.accept().await?;
    network.set_target(server.node.address());
    let known = servers.changes();
    eventually("the primary", async || Ok(known.borrow().is_some())).await?;
    drop(hanging);
    Ok(())
}
