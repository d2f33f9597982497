//! A client of a Schema Registry that speaks Confluent's REST interface.

mod error;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    SettingsError,
    http::{Address, Http, Question},
    metrics,
};

pub use crate::http::Credentials;
pub use error::RegistryError;

const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Most texts of schemas that are remembered.
const REMEMBERED: usize = 1000;

/// Where the registry is, and who we are to it.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// http or https URLs of the same registry, tried one after another.
    pub urls: Vec<String>,
    /// Who we are.
    pub credentials: Option<Credentials>,
    /// Roots (PEM) that its certificate must lead to; without, those of this machine.
    pub ca: Option<PathBuf>,
    /// How long one address may take to answer.
    pub patience: Duration,
}

/// A schema in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// The same for equal schemas of all subjects.
    pub id: u32,
    /// Of the subject, from 1.
    pub version: u32,
}

/// Whether a schema may follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Compatibility {
    /// It may.
    #[serde(rename = "is_compatible")]
    pub compatible: bool,
    /// Why not.
    #[serde(default)]
    pub messages: Vec<String>,
}

/// A client. It keeps nothing open, and remembers texts by their ids, which never change.
pub struct Registry {
    addresses: Vec<Address>,
    http: Http,
    credentials: Option<Credentials>,
    /// The address where a registry answered last.
    current: AtomicUsize,
    texts: Mutex<HashMap<u32, String>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A client of the registry at these addresses. Asks nothing yet.
    pub fn new(settings: &RegistrySettings) -> Result<Self, SettingsError> {
        let addresses = settings.urls.iter().map(|url| Address::parse(url));
        Ok(Self {
            addresses: addresses.collect::<Result<_, _>>()?,
            http: Http::new(settings.ca.as_deref(), settings.patience)?,
            credentials: settings.credentials.clone(),
            current: AtomicUsize::new(0),
            texts: Mutex::default(),
        })
    }

    /// Registers a schema under a subject, unless it is there; its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            id: u32,
        }
        let path = format!("/subjects/{}/versions", segment(subject));
        let answer: Answer = self
            .ask("register", Method::POST, &path, body(schema))
            .await?;
        Ok(answer.id)
    }

    /// Looks a schema up under a subject; `None` if it is not there.
    pub async fn look_up(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<Option<Registered>, RegistryError> {
        let path = format!("/subjects/{}", segment(subject));
        let found = self.ask("look_up", Method::POST, &path, body(schema)).await;
        RegistryError::absent(found)
    }

    /// The text of a schema; `None` if the registry does not know the id.
    pub async fn schema(&self, id: u32) -> Result<Option<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            schema: String,
            /// Avro, when it is not said.
            #[serde(rename = "schemaType")]
            kind: Option<String>,
        }
        if let Some(text) = self.remembered().get(&id) {
            return Ok(Some(text.clone()));
        }
        let path = format!("/schemas/ids/{id}");
        let found = self
            .ask::<Answer>("schema", Method::GET, &path, Value::Null)
            .await;
        let Some(answer) = RegistryError::absent(found)? else {
            return Ok(None);
        };
        if answer.kind.as_deref() != Some("PROTOBUF") {
            return Err(RegistryError::Invalid(format!(
                "schema {id} is not of Protobuf"
            )));
        }
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(id, answer.schema.clone());
        Ok(Some(answer.schema))
    }

    /// Whether a schema may follow those of a subject, as its level asks.
    pub async fn compatible(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<Compatibility, RegistryError> {
        let path = format!(
            "/compatibility/subjects/{}/versions?verbose=true",
            segment(subject)
        );
        self.ask("compatible", Method::POST, &path, body(schema))
            .await
    }

    /// The level of a subject, its own or everybody's.
    pub async fn level(&self, subject: &str) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "compatibilityLevel")]
            level: String,
        }
        let path = format!("/config/{}?defaultToGlobal=true", segment(subject));
        let answer: Answer = self.ask("level", Method::GET, &path, Value::Null).await?;
        Ok(answer.level)
    }

    /// Sets the level of a subject.
    pub async fn set_level(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let path = format!("/config/{}", segment(subject));
        let wanted = json!({ "compatibility": level });
        self.ask::<Value>("set_level", Method::PUT, &path, wanted)
            .await?;
        Ok(())
    }

    /// Asks one address after another, the one where a registry answered last first. If none does, what is
    /// told is rather of one that is no registry, or refuses us, than of one that is away.
    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<T, RegistryError> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let question = Question {
            method,
            path,
            content_type: JSON,
            accept: JSON,
            body,
            credentials: self.credentials.as_ref(),
        };
        let first = self.current.load(Ordering::Relaxed);
        let mut last = RegistryError::Unreachable("it has no address".to_owned());
        for at in 0..self.addresses.len() {
            let at = (first + at) % self.addresses.len();
            let answer = self.ask_one(&self.addresses[at], &question).await;
            metrics::registry_asked(operation, answer.as_ref().err());
            match answer {
                // Another address may be a registry that knows us.
                Err(error) if !error.is_of_a_registry() => {
                    if matches!(last, RegistryError::Unreachable(_)) {
                        last = error;
                    }
                }
                answer => {
                    self.current.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(last)
    }

    async fn ask_one<T: for<'de> Deserialize<'de>>(
        &self,
        address: &Address,
        question: &Question<'_>,
    ) -> Result<T, RegistryError> {
        let shown = address.shown();
        let (status, body) = self
            .http
            .ask(address, question)
            .await
            .map_err(|why| RegistryError::Unreachable(format!("{shown}: {why}")))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| RegistryError::Foreign(shown));
        }
        Err(RegistryError::of_answer(shown, status, &body))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<u32, String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn body(schema: &str) -> Value {
    json!({ "schemaType": "PROTOBUF", "schema": schema })
}

/// A subject in a path. Topics have `[a-zA-Z0-9._-]` only, so this changes nothing for ours.
fn segment(subject: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
