//! What these tests share.

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use sso_events::{Registered, encode_registration};
use sso_kafka::{REGISTRATION_SCHEMA, wire};
use sso_testkit::{
    http::{Http, Reply},
    persona::Persona,
    process::{Server, Site},
    program::{Program, Running, sibling},
    servers::{Postgres, kafka::Kafka, registry::Registry},
};
use uuid::Uuid;

pub(crate) const TOPIC: &str = "registration";
/// The token by which `sso` knows this service, and its SHA-256.
pub(crate) const CALLER: &str = "the token of loyalty";
const CALLER_SHA256: &str = "d1b12ef495f77fddf57e452ec2829187835aae0c7403f8e976276bc2b7952e7d";

/// Where points are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// `sso`, and the service before its start, without Kafka: for those who only want its API.
pub(crate) struct Shop {
    pub(crate) site: Site,
    pub(crate) sso: Server,
    pub(crate) loyalty: Program,
    /// The name of its database, if it is in PostgreSQL.
    database: Option<String>,
}

impl Shop {
    pub(crate) async fn new(store: Store) -> Result<Self> {
        let mut site = Site::new(sibling(env!("CARGO_BIN_EXE_loyalty"), "sso")?)?;
        site.set("SSO__GRPC__CALLERS", caller("'auth', 'revocations:read'"))
            .set("SSO__GRPC__REQUIRE_CALLER", true);
        let sso = site.serve().await?;
        let mut loyalty = Program::new("loyalty", env!("CARGO_BIN_EXE_loyalty"))?;
        loyalty
            .set("kafka.brokers", "127.0.0.1:1")
            .set("kafka.registry_url", "http://127.0.0.1:1")
            .set(
                "sso.jwks_url",
                format!("http://{}/.well-known/jwks.json", sso.http_address),
            )
            .set("sso.grpc_url", format!("http://{}", sso.grpc_address))
            .set("sso.caller_token", CALLER);
        let mut named = None;
        if store == Store::Postgres {
            let url = database().await?;
            named = url.rsplit('/').next().map(str::to_owned);
            loyalty.set("database.url", url);
        }
        Ok(Self {
            site,
            sso,
            loyalty,
            database: named,
        })
    }

    /// Runs SQL in its database, which is in PostgreSQL; the rows.
    pub(crate) async fn execute(&self, sql: &str) -> Result<String> {
        let database = self.database.as_deref().context("it is in SQLite")?;
        let postgres = Postgres::shared().await?;
        postgres.node.execute_in(database, sql).await
    }

    /// The number that a query finds in its database.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64> {
        if self.database.is_some() {
            return Ok(self.execute(sql).await?.trim().parse()?);
        }
        let file = self.loyalty.folder().join("data/loyalty.db");
        let connection = rusqlite::Connection::open(file)?;
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }

    /// Starts `sso` anew, which lets this service do only that much.
    pub(crate) async fn restrict(&mut self, scopes: &str) -> Result<()> {
        self.sso.kill()?;
        self.site.set("SSO__GRPC__CALLERS", caller(scopes));
        self.sso = self.site.serve().await?;
        Ok(())
    }

    /// A user.
    pub(crate) async fn user(&self, name: &str) -> Result<Persona> {
        Persona::register(&self.sso.http, name).await
    }

    /// An administrator.
    pub(crate) async fn admin(&self) -> Result<Persona> {
        let mut admin = self.user("admin").await?;
        self.site.run_ok(&["user", "set-admin", &admin.email])?;
        admin.login().await?;
        Ok(admin)
    }
}

/// This service as `sso` knows it.
fn caller(scopes: &str) -> String {
    format!("[{{ name = 'loyalty', token_sha256 = '{CALLER_SHA256}', scopes = [{scopes}] }}]")
}

/// A database of its own on the shared server.
pub(crate) async fn database() -> Result<String> {
    let name = format!("loyalty_{}", fresh_id().simple());
    Postgres::shared().await?.database(&name).await
}

/// An id that no other test has.
#[expect(
    clippy::disallowed_methods,
    reason = "names of databases, not what is tested"
)]
fn fresh_id() -> Uuid {
    Uuid::new_v4()
}

/// A cluster with the topics of the contract, and a registry that knows the schema. To be made before
/// the [`Shop`]: it takes longer than a server keeps an idle connection, which a client then may find
/// closed.
pub(crate) struct Bus {
    pub(crate) kafka: Kafka,
    pub(crate) registry: Registry,
    schema: u32,
}

impl Bus {
    pub(crate) async fn new() -> Result<Self> {
        let kafka = Kafka::start().await?;
        kafka.create_topic(TOPIC, 3).await?;
        kafka
            .create_topic("registration.loyalty.dead-letter", 1)
            .await?;
        let registry = Registry::in_memory()?;
        let schema = registry.register("registration-value", REGISTRATION_SCHEMA)?;
        Ok(Self {
            kafka,
            registry,
            schema,
        })
    }

    pub(crate) fn connect(&self, loyalty: &mut Program) {
        loyalty
            .set("kafka.brokers", self.kafka.brokers())
            .set("kafka.registry_url", self.registry.url());
    }

    /// Writes the registration `event` of a user.
    pub(crate) async fn register(&self, event: Uuid, user: Uuid) -> Result<()> {
        self.register_in(TOPIC, event, user).await
    }

    pub(crate) async fn register_in(&self, topic: &str, event: Uuid, user: Uuid) -> Result<()> {
        let message = encode_registration(&Registered {
            event_id: event,
            user_id: user,
            email: "alice@example.com",
            name: Some("Alice"),
            at: time::OffsetDateTime::UNIX_EPOCH,
        });
        let value = wire::frame(self.schema, &message);
        let key = user.to_string();
        self.kafka.produce(topic, key.as_bytes(), &value, &[]).await
    }
}

/// What a user or an administrator asks.
pub(crate) async fn post(http: &Http, token: &str, body: &Value) -> Result<Reply> {
    http.bearer(Method::POST, "/loyalty", Some(token), &body.to_string())
        .await
}

/// The same with an Idempotency-Key.
pub(crate) async fn post_with_key(
    http: &Http,
    token: &str,
    key: &str,
    body: &Value,
) -> Result<Reply> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    http.send(Method::POST, "/loyalty", &headers, body.to_string())
        .await
}

/// Deposits points for a user.
pub(crate) async fn deposit(
    running: &Running,
    admin: &Persona,
    user: &Persona,
    points: i64,
) -> Result<()> {
    let body = json!({"operation": "d", "balance": points, "comment": "a gift", "uuid": user.id});
    let reply = post(&running.http, &admin.access, &body).await?;
    ensure!(reply.status == 201, "{reply:?}");
    Ok(())
}

/// The balance that the API shows; `None`: no such account.
pub(crate) async fn balance(http: &Http, token: &str, user: &str) -> Result<Option<i64>> {
    let reply = http.get(&format!("/loyalty/{user}"), Some(token)).await?;
    ensure!(reply.status == 200 || reply.status == 404, "{reply:?}");
    Ok(reply.json()["balance"].as_i64())
}
