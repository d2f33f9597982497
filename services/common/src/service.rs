//! What a service is.

use std::{future::Future, path::Path, sync::Arc};

use axum::Router;
use sso_config::{Sections, telemetry::Telemetry};
use sso_kafka::consumer::Handler;
use sso_web::observe::Series;
use tokio_util::sync::CancellationToken;

use crate::{
    Failed,
    database::{Database, Opened, Schema},
    kafka::Kafka,
    section::{Http, Log, Shutdown},
};

/// A configuration with the sections that every service has.
pub trait Configured: Sections + Clone + Send + Sync + 'static {
    /// Those sections.
    fn common(&self) -> Common<'_>;
}

/// The sections that every service has.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// The listener.
    pub http: &'a Http,
    /// Where events come from.
    pub kafka: &'a Kafka,
    /// Where the embedded database is.
    pub data_dir: &'a Path,
    /// Where it remembers.
    pub database: &'a Database,
    /// The end.
    pub shutdown: &'a Shutdown,
    /// Logs.
    pub log: &'a Log,
    /// Traces.
    pub telemetry: &'a Telemetry,
}

/// Something that a service needs, and how it is: `None` is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `database`, `smtp`, ...
    pub name: &'static str,
    /// What its absence means: a few words that anybody may read.
    pub meaning: &'static str,
    /// What is wrong, for the log.
    pub problem: Option<String>,
    /// Whether the service is not ready without it.
    pub required: bool,
}

/// A service: consumes registrations, and has some routes.
pub trait Service: Sized + Send + Sync + 'static {
    /// What can be set.
    type Config: Configured;
    /// The commands that only this service has.
    type Command: clap::Subcommand + std::fmt::Debug;

    /// What `--help` says.
    const ABOUT: &'static str;
    /// Its tables.
    const SCHEMA: Schema;
    /// Its routes, those of health and metrics among them.
    const SERIES: Series;
    /// The names of what it needs beside Kafka.
    const NEEDS: &'static [&'static str];

    /// Describes the metrics that only this service has and makes them exist at 0.
    fn register_metrics();

    /// Opens what it needs to serve. What can be waited for is not waited for here.
    fn open(config: &Self::Config) -> impl Future<Output = Result<Arc<Self>, Failed>>;

    /// Its database.
    fn database(&self) -> &Opened;

    /// What is done with an event.
    fn handler(self: &Arc<Self>) -> Arc<dyn Handler>;

    /// What is served beside health and metrics, without the layers around it.
    fn routes(self: &Arc<Self>) -> Router;

    /// How everything of [`NEEDS`](Self::NEEDS) is. Asked every two seconds; bounds each
    /// look by itself, and until it has answered all stays as it was seen last.
    fn needs(&self) -> impl Future<Output = Vec<Need>> + Send;

    /// What runs beside, until `stop`.
    fn background(self: Arc<Self>, stop: CancellationToken) -> impl Future<Output = ()> + Send;

    /// Runs a command of its own; what to print.
    fn command(
        config: &Self::Config,
        command: Self::Command,
    ) -> impl Future<Output = Result<String, Failed>>;
}
