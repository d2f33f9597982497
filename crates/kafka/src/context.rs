//! What librdkafka tells on the side.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{
    ClientContext,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::ClientCredentials;

/// Receives what is not an answer to anything: logs, errors of connections, the wish for a token.
#[derive(Clone)]
pub(crate) struct Context(Arc<Inner>);

struct Inner {
    tokens: Option<Arc<ClientCredentials>>,
    problem: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Context {
    pub(crate) fn new(tokens: Option<Arc<ClientCredentials>>) -> Self {
        Self(Arc::new(Inner {
            tokens,
            problem: Mutex::default(),
        }))
    }

    /// The newest trouble with connections since [`Self::well`].
    pub(crate) fn problem(&self) -> Option<(RDKafkaErrorCode, String)> {
        let problem = self.0.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A broker has answered.
    pub(crate) fn well(&self) {
        let problem = self.0.problem.lock();
        *problem.unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remember(&self, code: RDKafkaErrorCode, reason: &str) {
        let problem = self.0.problem.lock();
        let mut problem = problem.unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" says less than why the last one is.
        let vague = |code| code == RDKafkaErrorCode::AllBrokersDown;
        if !vague(code) || problem.is_none() {
            *problem = Some((code, reason.to_owned()));
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// An outage is told once, by whoever sees its consequence, and not line by line.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        if let Some(code) = error.rdkafka_error_code() {
            // By TLS 1.3 a broker refuses our certificate when the connection stands already (RFC 8446,
            // section 4.4.2.4): librdkafka takes that for one that broke.
            let broke = code == RDKafkaErrorCode::BrokerTransportFailure;
            let is_refusal = broke && reason.contains("SSL alert number");
            let code = if is_refusal {
                RDKafkaErrorCode::SSL
            } else {
                code
            };
            self.remember(code, reason);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.0.tokens.as_ref().ok_or("no source of tokens")?;
        tokens.fetch_blocking().map_err(|why| {
            self.remember(RDKafkaErrorCode::Authentication, &why);
            why.into()
        })
    }
}
