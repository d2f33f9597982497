//! The service: its parts, put together.

use std::{sync::Arc, time::Duration};

use axum::Router;
use clap::Subcommand;
use sso_config::remote::Urls;
use sso_kafka::consumer::Handler;
use sso_service::{
    Exit, Failed, Need, Series, Service,
    database::{Opened, Schema, sqlite::Role},
    traces,
};
use sso_verifier::Verifier;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config::{Config, Sso},
    credit::Credit,
    http::{self, AppState},
    ledger::{self, Ledger},
    metrics,
};

/// How long a start waits for the verifier to be ready.
const VERIFIER: Duration = Duration::from_secs(3);
/// How often old keys are deleted, and how many at once.
const CLEANING: (Duration, u32) = (Duration::from_mins(10), 1000);

/// What `loyalty` consists of.
pub(crate) struct Loyalty {
    database: Opened,
    ledger: Arc<dyn Ledger>,
    verifier: Verifier,
    points: i64,
    check_every: Duration,
    remember_keys: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the ledger.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Forget a person: his points go back to the house, his account has no owner any more, his
    /// comments are deleted. The points of his registration are not credited again, nor at all if it is
    /// still on its way; his id is kept for that. What lies in Kafka stays until its retention ends.
    Forget {
        /// The user's id.
        user: Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Check that every transfer sums to zero and every balance is the sum of its entries; exit 65
    /// if not.
    Check,
}

impl Service for Loyalty {
    type Config = Config;
    type Command = Command;

    const ABOUT: &'static str =
        "Consumes registrations of sso, credits the welcome points, keeps the ledger.";
    const SCHEMA: Schema = ledger::SCHEMA;
    const SERIES: Series = http::SERIES;
    const NEEDS: &'static [&'static str] = &["database", "sso"];

    fn register_metrics() {
        metrics::register();
        sso_verifier::register_metrics();
    }

    async fn open(config: &Config) -> Result<Arc<Self>, Failed> {
        let database = ledger::open(config, Role::Server).await?;
        Ok(Arc::new(Self {
            ledger: ledger::of(&database),
            database,
            verifier: verifier(&config.sso).await?,
            points: config.points.welcome,
            check_every: config.ledger.check_every,
            remember_keys: config.ledger.remember_keys,
        }))
    }

    fn database(&self) -> &Opened {
        &self.database
    }

    fn handler(self: &Arc<Self>) -> Arc<dyn Handler> {
        Arc::new(Credit {
            ledger: Arc::clone(&self.ledger),
            points: self.points,
        })
    }

    fn routes(self: &Arc<Self>) -> Router {
        http::routes(AppState {
            ledger: Arc::clone(&self.ledger),
            verifier: self.verifier.clone(),
        })
    }

    async fn needs(&self) -> Vec<Need> {
        let database = self.ledger.ping().await.err();
        let status = self.verifier.status();
        let sso = (!self.verifier.ready()).then(|| {
            let unknown = || "revocations are not heard".to_owned();
            status.problem.clone().unwrap_or_else(unknown)
        });
        vec![
            Need {
                name: "database",
                meaning: "points cannot be read or changed",
                problem: database.map(|error| error.to_string()),
                required: true,
            },
            Need {
                name: "sso",
                meaning: "tokens cannot be validated in process",
                problem: sso,
                // With the keys each token can still be asked about.
                required: status.keys == 0,
            },
        ]
    }

    async fn background(self: Arc<Self>, stop: CancellationToken) {
        let mut checks = interval(self.check_every);
        let mut cleanings = interval(CLEANING.0);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        cleanings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = checks.tick() => {
                    // It reads everything, and nothing is lost if it does not end.
                    stop.run_until_cancelled(self.check()).await;
                }
                _ = cleanings.tick() => self.clean().await,
            }
        }
    }

    async fn command(config: &Config, command: Command) -> Result<String, Failed> {
        let ledger = ledger::of(&ledger::open(config, Role::Command).await?);
        match command {
            Command::Ledger(LedgerCommand::Check) => {
                let checked = ledger.check().await?;
                let found = format!(
                    "{} entries sum to {}; {} transfers and {} accounts do not balance",
                    checked.entries, checked.sum, checked.transfers, checked.accounts
                );
                if checked.is_good() {
                    Ok(found)
                } else {
                    Err(Failed::new(Exit::DataDamaged, found))
                }
            }
            Command::Forget { user } => Ok(if ledger.forget(user).await? {
                "forgotten".to_owned()
            } else {
                "there is no account of this user".to_owned()
            }),
        }
    }
}

impl Loyalty {
    async fn check(&self) {
        match self.ledger.check().await {
            Ok(checked) => {
                metrics::checked(&checked);
                if !checked.is_good() {
                    tracing::error!(?checked, "the ledger does not balance");
                }
            }
            Err(error) => {
                metrics::unchecked();
                tracing::warn!(%error, "the ledger cannot be checked now");
            }
        }
    }

    async fn clean(&self) {
        loop {
            match self.ledger.clean(self.remember_keys, CLEANING.1).await {
                Ok(deleted) if deleted < u64::from(CLEANING.1) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old keys cannot be deleted yet");
                    return;
                }
            }
        }
    }
}

async fn verifier(sso: &Sso) -> Result<Verifier, Failed> {
    let wrong = |why: String| Failed::new(Exit::Configuration, format!("sso: {why}"));
    let mut builder = Verifier::builder(sso.issuer.clone())
        .patience(VERIFIER)
        .trace_context(traces::current);
    for audience in &sso.audience {
        builder = builder.audience(audience.0.clone());
    }
    for url in sso.jwks_url.iter().flat_map(Urls::iter) {
        builder = builder.jwks_url(url);
    }
    for url in sso.grpc_url.iter().flat_map(Urls::iter) {
        builder = builder.grpc_url(url);
    }
    if let Some(token) = &sso.caller_token {
        builder = builder.caller_token(token.reveal());
    }
    if let Some(file) = &sso.tls_ca {
        let pem = std::fs::read(file)
            .map_err(|error| wrong(format!("tls_ca: {}: {error}", file.display())))?;
        builder = builder.roots_pem(pem);
    }
    if sso.allow_clear_text {
        builder = builder.allow_clear_text();
    }
    builder
        .build()
        .await
        .map_err(|error| wrong(error.to_string()))
}
