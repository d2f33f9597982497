//! What can be set. The doc comments are the manual.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_config::{
    Derived, Rules, Sections, duration,
    remote::{Credential, Urls},
    telemetry::Telemetry,
    values::{Misshapen, Shape, Text},
};
use sso_service::{
    Common, Configured,
    database::Database,
    kafka::{self, Kafka},
    section::{Http, Log, Shutdown},
};

/// The path of the keys of `sso`.
const JWKS: &str = "/.well-known/jwks.json";

/// All that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder of the embedded database. It is created with mode 0700 if it is missing.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) data_dir: PathBuf,
    pub(crate) http: Http,
    pub(crate) kafka: Kafka,
    pub(crate) database: Database,
    pub(crate) sso: Sso,
    pub(crate) points: Points,
    pub(crate) ledger: Ledger,
    pub(crate) shutdown: Shutdown,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            http: Http::on_port(8001),
            kafka: kafka::in_group("loyalty"),
            database: Database::default(),
            sso: Sso::default(),
            points: Points::default(),
            ledger: Ledger::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            telemetry: Telemetry::named("loyalty"),
        }
    }
}

/// Whose tokens are accepted. They are verified in this process; revocations are heard by gRPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sso {
    /// Where the public keys are. Several URLs are tried one after another.
    #[schemars(with = "Option<Text<Urls>>")]
    pub(crate) jwks_url: Option<Urls>,
    /// Where the gRPC API of each instance is.
    #[schemars(with = "Option<Text<Urls>>")]
    pub(crate) grpc_url: Option<Urls>,
    /// The token by which this service is known to `sso` (`[[grpc.callers]]`), with the scopes
    /// `revocations:read` and `auth`. Without it revocations are not heard, and each token is asked
    /// about, as far as `sso` answers callers that it does not know.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) caller_token: Option<Credential>,
    /// A file that holds `sso.caller_token`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) caller_token_file: Option<PathBuf>,
    /// The issuer of the tokens (`iss`), which is `http.public_url` of `sso`. By default it is what
    /// stands before `/.well-known/` in the first of `sso.jwks_url`.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) issuer: String,
    /// The audiences that are accepted (`aud`). By default the issuer, as `sso` writes it.
    #[schemars(with = "Vec<Text<Audience>>", length(min = 0, max = 16))]
    pub(crate) audience: Vec<Audience>,
    /// Roots (PEM) that its certificates must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Allows `http://` to other machines. Whoever can change what is on the way can then sign tokens
    /// that are accepted here.
    pub(crate) allow_clear_text: bool,
}

impl Default for Sso {
    fn default() -> Self {
        let local = |url: &str| url.parse().ok();
        Self {
            jwks_url: local("http://127.0.0.1:8000/.well-known/jwks.json"),
            grpc_url: local("http://127.0.0.1:44044"),
            caller_token: None,
            caller_token_file: None,
            issuer: "http://127.0.0.1:8000".to_owned(),
            audience: Vec::new(),
            tls_ca: None,
            allow_clear_text: false,
        }
    }
}

/// An audience of tokens: StringOrURI of RFC 7519, section 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audience(pub(crate) String);

impl Shape for Audience {
    const SHAPE: &str = "a name of 1 to 255 visible ASCII characters";
}

impl std::str::FromStr for Audience {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(text.to_owned())).ok_or(Misshapen)
    }
}

impl std::fmt::Display for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

sso_config::by_text!(Audience);

/// Points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Points {
    /// How many a user gets for his registration.
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub(crate) welcome: i64,
}

impl Default for Points {
    fn default() -> Self {
        Self { welcome: 100 }
    }
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ledger {
    /// How often it is checked whether it sums to zero, for the metrics. It reads all of it,
    /// for ten minutes at most.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "7d"))]
    pub(crate) check_every: Duration,
    /// How long the answer to an Idempotency-Key is kept.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1m", "x-maximum" = "90d"))]
    pub(crate) remember_keys: Duration,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            check_every: Duration::from_mins(1),
            remember_keys: Duration::from_hours(24),
        }
    }
}

impl Sections for Config {
    const PROGRAM: &'static str = "loyalty";
    const PREFIX: &'static str = "LOYALTY__";
    const FILE_VARIABLE: &'static str = "LOYALTY_CONFIG";

    fn derive(&mut self, derived: &mut Derived<'_>) {
        if derived.from("sso.issuer", "sso.jwks_url") {
            let url = self
                .sso
                .jwks_url
                .as_ref()
                .and_then(|urls| urls.iter().next());
            let url = url.unwrap_or_default();
            url.strip_suffix(JWKS)
                .unwrap_or(url)
                .clone_into(&mut self.sso.issuer);
        }
    }

    fn validate(&self, rules: &mut Rules<'_>) {
        kafka::validate(&self.kafka, rules);
        self.database.validate(rules);
        self.telemetry.validate(rules);
    }
}

impl Configured for Config {
    fn common(&self) -> Common<'_> {
        Common {
            http: &self.http,
            kafka: &self.kafka,
            data_dir: &self.data_dir,
            database: &self.database,
            shutdown: &self.shutdown,
            log: &self.log,
            telemetry: &self.telemetry,
        }
    }
}
