//! PostgreSQL alone.

use sso_testkit::servers::Postgres;

#[tokio::test]
async fn each_test_has_a_database_of_its_own_on_a_shared_server() {
    let server = Postgres::shared().await.unwrap();
    server.database("one").await.unwrap();
    server
        .node
        .execute_in("one", "create table here (what text)")
        .await
        .unwrap();
    server.database_from("one", "two").await.unwrap();
    server
        .node
        .execute_in("two", "insert into here values ('copied')")
        .await
        .unwrap();
    let rows = "select count(*) from here";
    assert_eq!(server.node.execute_in("one", rows).await.unwrap(), "0");
    assert_eq!(server.node.execute_in("two", rows).await.unwrap(), "1");
}
