//! The service: its parts, put together.

use std::{sync::Arc, time::Duration};

use axum::Router;
use clap::Subcommand;
use sso_kafka::consumer::Handler;
use sso_service::{
    Exit, Failed, Need, Series, Service,
    database::{Opened, Schema, sqlite::Role},
    world,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    config::Config,
    handler::{Greeter, Patience},
    mail::Composer,
    metrics,
    smtp::Mailer,
    store::{self, Store},
    templates::Templates,
    tries::Tries,
};

/// How often what is too old is deleted, and how much at once.
const CLEANING: (Duration, u32) = (Duration::from_mins(10), 1000);

const DAY: Duration = Duration::from_hours(24);

/// What `welcome` consists of.
pub(crate) struct Welcome {
    database: Opened,
    store: Arc<dyn Store>,
    mailer: Arc<Mailer>,
    greeter: Arc<Greeter>,
    remember: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Forget a person: whose mails were sent. That they were sent stays known, without whose they
    /// were, so that no second one is sent; the user's id by itself, so that there is no first one if the
    /// registration is still on its way. What lies in Kafka stays until its retention ends.
    Forget {
        /// The user's id.
        user: Uuid,
    },
}

impl Service for Welcome {
    type Config = Config;
    type Command = Command;

    const ABOUT: &'static str = "Consumes registrations of sso and sends the welcome mail.";
    const SCHEMA: Schema = store::SCHEMA;
    const SERIES: Series = &[
        ("GET", "/welcome/ready", "200"),
        ("GET", "/welcome/healthz", "200"),
        ("GET", "/metrics", "200"),
    ];
    const NEEDS: &'static [&'static str] = &["database", "smtp"];

    fn register_metrics() {
        metrics::register();
    }

    async fn open(config: &Config) -> Result<Arc<Self>, Failed> {
        let wrong = |why: String| Failed::new(Exit::Configuration, why);
        let dir = config.templates.dir.as_deref();
        let templates = Templates::load(dir, config.mail.locale)
            .map_err(|error| wrong(format!("templates.dir: {error}")))?;
        let mailer = Arc::new(Mailer::new(&config.smtp)?);
        let from = config.smtp.from.clone();
        let from = from.ok_or_else(|| wrong("smtp.from: must be set".to_owned()))?;
        let database = store::open(config, Role::Server).await?;
        let store = store::of(&database, Role::Server).await?;
        let patience = Patience {
            remember: config.mail.remember,
            answer: config.smtp.timeout,
            text: config.smtp.data_timeout,
            pause: (config.smtp.retry_first, config.smtp.retry_longest),
            retry_for: config.smtp.retry_for,
        };
        let greeter = Greeter {
            store: Arc::clone(&store),
            mailer: Arc::clone(&mailer),
            composer: Composer {
                from: from.0,
                product: config.mail.product.clone(),
                locale: config.mail.locale,
                templates,
            },
            tries: Tries::new(patience.stale()),
            patience,
            me: world::new_id(),
            under_way: TaskTracker::new(),
        };
        Ok(Arc::new(Self {
            database,
            store,
            mailer,
            greeter: Arc::new(greeter),
            remember: config.mail.remember,
        }))
    }

    fn database(&self) -> &Opened {
        &self.database
    }

    fn handler(self: &Arc<Self>) -> Arc<dyn Handler> {
        Arc::clone(&self.greeter) as _
    }

    fn routes(self: &Arc<Self>) -> Router {
        Router::new()
    }

    async fn needs(&self) -> Vec<Need> {
        let database = self.store.check().await.err();
        vec![
            Need {
                name: "database",
                meaning: "mails wait",
                problem: database.map(|error| error.to_string()),
                required: false,
            },
            Need {
                name: "smtp",
                meaning: "mails wait",
                problem: self.mailer.trouble(),
                required: false,
            },
        ]
    }

    /// Deletes what is too old to get a mail, a day later: the age of an event is by another clock.
    async fn background(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(CLEANING.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            loop {
                match self.store.clean(self.remember + DAY, CLEANING.1).await {
                    Ok(deleted) if deleted < u64::from(CLEANING.1) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "what is too old cannot be deleted yet");
                        break;
                    }
                }
            }
        }
        // The consumer has ended. Mails that it has given up may have been taken: they are noted.
        self.greeter.under_way.close();
        self.greeter.under_way.wait().await;
        self.mailer.close().await;
    }

    async fn command(config: &Config, command: Command) -> Result<String, Failed> {
        let Command::Forget { user } = command;
        let database = store::open(config, Role::Command).await?;
        let store = store::of(&database, Role::Command).await?;
        let count = store.forget(user).await?;
        Ok(format!("forgotten whose they were: {count} mails"))
    }
}
