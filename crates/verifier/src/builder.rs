use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    Verifier, WhenSilent,
    ask::Questions,
    clock::Steady,
    jwks::Jwks,
    metrics::Metrics,
    net::{Address, BadAddress, Means},
    set::OverSet,
    settings::{CallerToken, Identity, tls},
    trust::Trust,
    verifier::{Inner, Rules},
    watch::Watcher,
};

/// How long [`Builder::build`] waits until the verifier is ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the caller stands in his trace: `traceparent` and `tracestate` of W3C Trace Context, level 2.
pub type TraceContext = fn() -> Option<(String, Option<String>)>;

/// What a verifier needs to know. Made by [`Verifier::builder`].
#[must_use = "nothing happens before build()"]
pub struct Builder {
    issuer: String,
    audiences: Vec<String>,
    jwks: Vec<String>,
    grpc: Vec<String>,
    caller_token: Option<String>,
    roots: Option<Vec<u8>>,
    identity: Option<Identity>,
    allow_clear: bool,
    when_silent: WhenSilent,
    trace_context: TraceContext,
    remembered: usize,
    max_questions: usize,
    max_revocations: usize,
    patience: Duration,
}

/// Everything that is wrong with the settings, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct BuildError(Vec<String>);

impl BuildError {
    /// A sentence for each problem.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl Builder {
    pub(crate) fn new(issuer: String) -> Self {
        Self {
            issuer,
            audiences: Vec::new(),
            jwks: Vec::new(),
            grpc: Vec::new(),
            caller_token: None,
            roots: None,
            identity: None,
            allow_clear: false,
            when_silent: WhenSilent::default(),
            trace_context: || None,
            remembered: 8_192,
            max_questions: 64,
            max_revocations: 1_000_000,
            patience: PATIENCE,
        }
    }

    /// An audience of the tokens that are accepted (`aud`); may be said several times. Without any
    /// it is the issuer, which is what `sso` writes by default.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Where the public keys are; may be said several times, then the next is asked where one does
    /// not answer. Without any it is `/.well-known/jwks.json` of the issuer.
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks.push(url.into());
        self
    }

    /// Where the gRPC API of an instance is; say it once for each: while one is silent another is
    /// listened to.
    pub fn grpc_url(mut self, url: impl Into<String>) -> Self {
        self.grpc.push(url.into());
        self
    }

    /// The token by which this service is known (`[[grpc.callers]]` of `sso`), with the scope
    /// `revocations:read`, and `auth` for [`WhenSilent::Ask`].
    pub fn caller_token(mut self, token: impl Into<String>) -> Self {
        self.caller_token = Some(token.into());
        self
    }

    /// The roots (PEM) that certificates of `sso` must lead to; without them, those of the machine.
    pub fn roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// The client certificate by which this service is known, followed by what leads to its root,
    /// and its key; both in PEM.
    pub fn client_identity_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some(Identity {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// Allows addresses in clear (`http://`) that are not on this machine. Whoever can change what
    /// is on the way can then sign tokens that are accepted here.
    pub fn allow_clear_text(mut self) -> Self {
        self.allow_clear = true;
        self
    }

    /// What to do with a good token while the revocations are not heard; [`WhenSilent::Ask`] if
    /// nothing is said.
    pub fn when_silent(mut self, when_silent: WhenSilent) -> Self {
        self.when_silent = when_silent;
        self
    }

    /// How to learn where the request stands in its trace: a question to `Validate` is part of it then.
    /// Asked in the task that verifies; if nothing is said, questions carry no trace.
    pub fn trace_context(mut self, current: TraceContext) -> Self {
        self.trace_context = current;
        self
    }

    /// How many tokens whose signature was found good are remembered, about 600 bytes each; 8,192
    /// if nothing is said, 0 for none. The least used leave first.
    pub fn remembered_tokens(mut self, tokens: usize) -> Self {
        self.remembered = tokens;
        self
    }

    /// How many questions to `Validate` are asked at once; 64 if nothing is said. Tokens beyond are
    /// refused as [`Refused::Unknowable`](crate::Refused::Unknowable).
    pub fn max_questions(mut self, questions: usize) -> Self {
        self.max_questions = questions;
        self
    }

    /// How many revocations are kept, about 60 bytes each; 1,000,000 if nothing is said. With more
    /// nothing is validated in process: what was left out would be accepted.
    pub fn max_revocations(mut self, revocations: usize) -> Self {
        self.max_revocations = revocations;
        self
    }

    /// How long [`build`](Self::build) waits until the verifier is ready; 5 seconds if nothing is
    /// said.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the verifier on the current Tokio runtime, and waits a little until it is ready. It is
    /// returned in any case: before it is [ready](Verifier::ready) it accepts nothing by itself, and
    /// it goes on trying for as long as it lives.
    pub async fn build(self) -> Result<Verifier, BuildError> {
        let patience = self.patience;
        let (inner, watcher) = self.assemble()?;
        let stop = CancellationToken::new();
        let jwks = Arc::clone(&inner.jwks);
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(jwks.keep()).await });
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(watcher.run()).await });
        let verifier = Verifier::new(inner, stop.drop_guard());
        if !verifier.until_ready(patience).await {
            let why = verifier.status().problem.unwrap_or_default();
            tracing::warn!(why, "the verifier is not ready yet, and goes on trying");
        }
        Ok(verifier)
    }

    fn assemble(self) -> Result<(Inner, Arc<Watcher>), BuildError> {
        let mut problems = Vec::new();
        if self.issuer.is_empty() {
            problems.push("the issuer is empty".to_owned());
        }
        let caller_token = self.caller_token.as_ref().and_then(|token| {
            let parsed = CallerToken::parse(token);
            if parsed.is_none() {
                let problem = "caller_token: it is empty, or holds what no header can";
                problems.push(problem.to_owned());
            }
            parsed
        });
        for (name, number) in [
            ("max_questions", self.max_questions),
            ("max_revocations", self.max_revocations),
        ] {
            if number == 0 {
                problems.push(format!("{name}: it must be at least 1"));
            }
        }
        let (jwks, grpc) = self.addresses(&mut problems);
        if !problems.is_empty() {
            return Err(BuildError(problems));
        }
        let jwks = Arc::new(Jwks::new(jwks));
        let questions = Questions::new(&grpc, caller_token.clone(), self.max_questions)
            .in_traces(self.trace_context);
        let watcher = Arc::new(Watcher {
            addresses: grpc,
            caller_token,
            max_entries: self.max_revocations,
            jwks: Arc::clone(&jwks),
            set: OverSet::default(),
            clock: Steady::new(),
            trust: Trust::default(),
            metrics: Metrics::new(),
            view: std::sync::Mutex::default(),
        });
        let rules = Rules {
            audiences: if self.audiences.is_empty() {
                vec![self.issuer.clone()]
            } else {
                self.audiences
            },
            issuer: self.issuer,
        };
        let inner = Inner::new(
            rules,
            jwks,
            Arc::clone(&watcher),
            questions,
            self.when_silent,
            self.remembered,
        );
        Ok((inner, watcher))
    }

    /// Those of the keys and those of the instances.
    fn addresses(&self, problems: &mut Vec<String>) -> (Vec<Address>, Vec<Address>) {
        let tls = match tls(self.roots.as_deref(), self.identity.as_ref()) {
            Ok(tls) => Arc::new(tls),
            Err(problem) => {
                problems.push(problem);
                return (Vec::new(), Vec::new());
            }
        };
        let allow_clear = self.allow_clear;
        let mut parse = |name: &str, urls: &[String], alpn: &'static [u8]| {
            let means = Means {
                tls: &tls,
                alpn,
                allow_clear,
            };
            let mut addresses = Vec::new();
            for url in urls {
                match Address::parse(url, means) {
                    Ok(address) => addresses.push(address),
                    // It may hold a password.
                    Err(BadAddress::TooMuch) => {
                        problems.push(format!("{name}: {}", BadAddress::TooMuch));
                    }
                    Err(error) => problems.push(format!("{name} {url}: {error}")),
                }
            }
            addresses
        };
        let issuers = format!(
            "{}/.well-known/jwks.json",
            self.issuer.trim_end_matches('/')
        );
        let jwks = if self.jwks.is_empty() {
            parse("jwks_url", &[issuers], b"http/1.1")
        } else {
            parse("jwks_url", &self.jwks, b"http/1.1")
        };
        let grpc = parse("grpc_url", &self.grpc, b"h2");
        if self.grpc.is_empty() {
            problems.push("grpc_url: say at least one".to_owned());
        }
        (jwks, grpc)
    }
}

/// Without the credentials.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("when_silent", &self.when_silent)
            .finish_non_exhaustive()
    }
}
