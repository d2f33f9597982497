//! What can be set. The doc comments are the manual.

use std::{path::PathBuf, time::Duration};

use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_config::{
    Derived, Rules, Sections, duration,
    remote::Credential,
    telemetry::Telemetry,
    values::{Misshapen, Shape, Text},
};
use sso_service::{
    Common, Configured,
    database::Database,
    kafka::{self, Kafka},
    section::{Http, Log, Shutdown},
};

use crate::smtp_url::SmtpUrl;

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
    pub(crate) smtp: Smtp,
    pub(crate) mail: Mail,
    pub(crate) templates: Templates,
    pub(crate) shutdown: Shutdown,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            http: Http::on_port(8002),
            kafka: kafka::in_group("welcome"),
            database: Database::default(),
            smtp: Smtp::default(),
            mail: Mail::default(),
            templates: Templates::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            telemetry: Telemetry::named("welcome"),
        }
    }
}

/// The mail server. It may be away, at the start too: mails wait in Kafka.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Smtp {
    /// Where it is: `smtps://host:465` speaks TLS from the first byte; `smtp://host:587` demands
    /// STARTTLS, but for a host on this machine, where it is used if it is offered. `?tls=none`
    /// is in clear, `?tls=opportunistic` in clear if the server has no STARTTLS, `?tls=required`
    /// demands it.
    #[schemars(with = "Option<Text<SmtpUrl>>")]
    pub(crate) url: Option<SmtpUrl>,
    /// Whom mails are from: `noreply@example.com` or `Example <noreply@example.com>`. Its domain is
    /// that of the Message-IDs.
    #[schemars(with = "Option<Text<From>>")]
    pub(crate) from: Option<From>,
    /// Our name there.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) username: Option<String>,
    /// Our password there. It is sent over TLS only, or to this machine.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub(crate) password: Option<Credential>,
    /// A file that holds `smtp.password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) password_file: Option<PathBuf>,
    /// Roots (PEM) that its certificate must lead to. Without: those that this machine trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_ca: Option<PathBuf>,
    /// How long the server may take for an answer.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "10m"))]
    pub(crate) timeout: Duration,
    /// How long it may take for the answer to the text of a mail. Its filters run then; one that has the
    /// mail and is not waited for gets it again (RFC 5321, section 4.5.3.2.6).
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub(crate) data_timeout: Duration,
    /// Most connections to it.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) max_connections: u32,
    /// First pause after it has said "not now" (4xx); each one is twice as long as the one before.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "10ms", "x-maximum" = "1h"))]
    pub(crate) retry_first: Duration,
    /// Longest pause.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "10ms", "x-maximum" = "1h"))]
    pub(crate) retry_longest: Duration,
    /// How long a mail is tried that the server does not take now (4xx), or at which it breaks off or falls
    /// silent while it takes others. Then its event is parked.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "5d"))]
    pub(crate) retry_for: Duration,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            url: None,
            from: None,
            username: None,
            password: None,
            password_file: None,
            tls_ca: None,
            timeout: Duration::from_secs(30),
            data_timeout: Duration::from_mins(10),
            max_connections: 8,
            retry_first: Duration::from_secs(1),
            retry_longest: Duration::from_mins(5),
            retry_for: Duration::from_hours(4),
        }
    }
}

/// The mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mail {
    /// The language of the mail.
    pub(crate) locale: Locale,
    /// What people know the installation by; templates see it as `product`.
    #[schemars(extend("x-shape" = "a name"))]
    pub(crate) product: String,
    /// How long it is remembered which registrations have had their mail. Older registrations get
    /// none, so that nobody gets a second one when a topic is read from its start; those that were tried
    /// in vain by then are parked. Make it longer than the mail server may be away.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1h", "x-maximum" = "3660d"))]
    pub(crate) remember: Duration,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            locale: Locale::default(),
            product: "sso".to_owned(),
            remember: Duration::from_hours(90 * 24),
        }
    }
}

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Locale {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

impl Locale {
    /// Its tag (RFC 5646).
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ru => "ru",
        }
    }
}

/// The templates of the mail.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Templates {
    /// A folder whose files `subject.txt`, `welcome.txt` and `welcome.html` replace the built-in
    /// ones; those in a folder of the locale (`ru/welcome.html`) go before. They are Jinja templates
    /// with the variables `name` (empty if the user gave none, or one that may be more than a name),
    /// `email` and `product`. They are read, and tried, at the start.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) dir: Option<PathBuf>,
}

/// Whom mails are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct From(pub(crate) Mailbox);

impl Shape for From {
    const SHAPE: &str =
        "a mail address such as noreply@example.com or Example <noreply@example.com>";
}

impl std::str::FromStr for From {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let mailbox: Mailbox = text.parse().map_err(|_| Misshapen)?;
        // A dialogue is ASCII: a domain is written as in DNS (`xn--`).
        let plain = mailbox.email.as_ref() as &str;
        plain.is_ascii().then_some(Self(mailbox)).ok_or(Misshapen)
    }
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

sso_config::by_text!(From);

impl Sections for Config {
    const PROGRAM: &'static str = "welcome";
    const PREFIX: &'static str = "WELCOME__";
    const FILE_VARIABLE: &'static str = "WELCOME_CONFIG";

    fn derive(&mut self, _: &mut Derived<'_>) {}

    fn validate(&self, rules: &mut Rules<'_>) {
        kafka::validate(&self.kafka, rules);
        self.database.validate(rules);
        self.telemetry.validate(rules);
        let Smtp {
            url,
            from,
            username,
            password,
            ..
        } = &self.smtp;
        if url.is_none() {
            rules.broken("smtp.url", &[], "must be set");
        }
        if from.is_none() {
            rules.broken("smtp.from", &[], "must be set");
        }
        rules.together(
            ("smtp.username", username.is_some()),
            ("smtp.password", password.is_some()),
        );
        if self.smtp.retry_first > self.smtp.retry_longest {
            let text = "must not be longer than smtp.retry_longest";
            rules.broken("smtp.retry_first", &["smtp.retry_longest"], text);
        }
        if password.is_some() && url.as_ref().is_some_and(SmtpUrl::in_clear) {
            let text = "must not be sent in clear: let smtp.url demand TLS";
            rules.broken("smtp.password", &["smtp.url"], text);
        }
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
