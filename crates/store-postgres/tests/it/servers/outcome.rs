use futures_util::future::BoxFuture;
use sso_store_postgres::servers::{Outcome, Servers, Ticket};
use sso_testkit::servers::{Pair, Postgres, Proxy};

use super::*;

const TABLE: &str = "create table if not exists things (id int primary key)";

/// A transaction that has written; its ticket.
async fn written(connection: &Connection, id: i32) -> Result<Ticket> {
    connection.batch_execute("begin").await?;
    let insert = "insert into things values ($1) returning pg_current_xact_id()::text";
    let row = connection.query_one(insert, &[&id]).await?;
    Ticket::of(connection, row.get(0), false).context("no primary")
}

fn never(_: &Connection) -> BoxFuture<'_, Result<bool, tokio_postgres::Error>> {
    panic!("the server knows it itself")
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_known_to_be_done() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("outcome_done").await?;
    let network = Proxy::start(server.node.address())?;
    let servers = Servers::open(&settings(&through(&url, network.address())?, &[])?).await?;
    let connection = servers.primary().await?;
    connection.batch_execute(TABLE).await?;
    let ticket = written(&connection, 1).await?;
    network.freeze_answers();
    let commit = tokio::spawn(async move { connection.batch_execute("commit").await });
    let count = "select count(*) from things";
    eventually("the commit", async || {
        Ok(server.node.execute_in("outcome_done", count).await? == "1")
    })
    .await?;
    network.reset();
    assert!(commit.await?.is_err(), "the answer was not lost");
    network.mend();
    assert_eq!(
        ticket.outcome(&servers, LIMIT, &never).await,
        Outcome::Committed
    );
    Ok(())
}

#[tokio::test]
async fn a_transaction_whose_commit_never_arrived_is_known_not_to_be_done() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("outcome_undone").await?;
    let network = Proxy::start(server.node.address())?;
    let servers = Servers::open(&settings(&through(&url, network.address())?, &[])?).await?;
    let connection = servers.primary().await?;
    connection.batch_execute(TABLE).await?;
    let ticket = written(&connection, 1).await?;
    network.reset();
    assert!(connection.batch_execute("commit").await.is_err());
    drop(connection);
    assert_eq!(
        ticket.outcome(&servers, LIMIT, &never).await,
        Outcome::NotCommitted
    );
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_is_still_under_way_is_unknown_when_the_time_is_over() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("outcome_open").await?;
    let servers = Servers::open(&settings(&url, &[])?).await?;
    let connection = servers.primary().await?;
    connection.batch_execute(TABLE).await?;
    let ticket = written(&connection, 1).await?;
    let short = Duration::from_millis(300);
    assert_eq!(
        ticket.outcome(&servers, short, &never).await,
        Outcome::Unknown
    );
    connection.batch_execute("rollback").await?;
    assert_eq!(
        ticket.outcome(&servers, LIMIT, &never).await,
        Outcome::NotCommitted
    );
    Ok(())
}

async fn is_there(connection: &Connection, id: i32) -> Result<bool, tokio_postgres::Error> {
    let look = "select from things where id = $1";
    Ok(connection.query_opt(look, &[&id]).await?.is_some())
}

/// On another timeline the number of a lost transaction is another's.
#[tokio::test]
async fn after_a_failover_a_transaction_is_looked_for_by_what_it_wrote() -> Result<()> {
    let mut pair = Pair::start().await?;
    let replica = pair.replicas[0].node.url("postgres");
    let servers = Servers::open(&settings(&pair.primary.url("postgres"), &[replica])?).await?;
    let connection = servers.primary().await?;
    connection.batch_execute(TABLE).await?;
    let kept = written(&connection, 1).await?;
    connection.batch_execute("commit").await?;
    pair.replicas[0].node.caught_up_with(&pair.primary).await?;
    pair.primary.freeze_senders().await?;
    let lost = written(&connection, 2).await?;
    connection.batch_execute("commit").await?;
    pair.primary.kill9().await?;
    let new = &pair.replicas[0].node;
    new.promote().await?;
    // Somebody else's transaction gets the lost one's number.
    let xid = "select pg_current_xact_id()";
    eventually("the number", async || {
        Ok(new.execute(xid).await?.parse::<u64>()? >= lost.xid.parse()?)
    })
    .await?;
    assert_eq!(
        kept.outcome(&servers, LIMIT, &|at| Box::pin(is_there(at, 1)))
            .await,
        Outcome::Committed
    );
    assert_eq!(
        lost.outcome(&servers, LIMIT, &|at| Box::pin(is_there(at, 2)))
            .await,
        Outcome::NotCommitted
    );
    Ok(())
}
