//! Tokens for OAUTHBEARER: the client credentials grant (RFC 6749, section 4.4).

use std::{
    path::PathBuf,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::Method;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use sso_config::remote::Credential;
use tokio::{
    runtime::{Builder, Handle, RuntimeFlavor},
    task::block_in_place,
};

use crate::{
    SettingsError,
    http::{Address, Credentials, Http, Question},
};

/// How long an authorisation server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a token is taken for good whose server does not say.
const LIFETIME: Duration = Duration::from_mins(5);
/// Longest that one is: neither the clock here nor librdkafka's reckoning in microseconds runs over.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Fetches tokens from an authorisation server.
pub struct ClientCredentials {
    address: Address,
    http: Http,
    client: Credentials,
    client_id: String,
    body: String,
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds.
    expires_in: Option<u64>,
}

impl ClientCredentials {
    /// Of this token endpoint, trusting these roots (PEM), or those of this machine.
    pub fn new(
        token_url: &str,
        client_id: &str,
        client_secret: &Credential,
        scope: Option<&str>,
        ca: Option<&PathBuf>,
    ) -> Result<Self, SettingsError> {
        let scope = scope.map_or_else(String::new, |scope| format!("&scope={}", encoded(scope)));
        // RFC 6749, section 2.3.1: name and secret are form-encoded before they are joined.
        let client = Credentials::Basic {
            user: encoded(client_id),
            password: Credential::new(&encoded(client_secret.reveal())),
        };
        Ok(Self {
            address: Address::parse(token_url)?,
            http: Http::new(ca.map(PathBuf::as_path), PATIENCE)?,
            client,
            client_id: client_id.to_owned(),
            body: format!("grant_type=client_credentials{scope}"),
        })
    }

    /// Fetches a token. librdkafka asks from threads of its own and of the runtime alike, so this
    /// runs on neither.
    pub(crate) fn fetch_blocking(&self) -> Result<OAuthToken, String> {
        let fetch = || thread::scope(|scope| scope.spawn(|| self.fetch_alone()).join());
        let of_runtime = Handle::try_current().is_ok_and(|handle| {
            // In the other flavour nobody else can take what waits for this thread.
            handle.runtime_flavor() == RuntimeFlavor::MultiThread
        });
        let fetched = if of_runtime {
            block_in_place(fetch)
        } else {
            fetch()
        };
        fetched.unwrap_or_else(|_| Err("the question for a token panicked".to_owned()))
    }

    /// On a thread that is no runtime's: only there one may be dropped.
    fn fetch_alone(&self) -> Result<OAuthToken, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let fetched = runtime.block_on(self.fetch());
        // A resolver that hangs is not waited for.
        runtime.shutdown_background();
        fetched
    }

    async fn fetch(&self) -> Result<OAuthToken, String> {
        let question = Question {
            method: Method::POST,
            path: "",
            content_type: "application/x-www-form-urlencoded",
            accept: "application/json",
            body: Bytes::from(self.body.clone()),
            credentials: Some(&self.client),
        };
        let shown = self.address.shown();
        let (status, body) = self
            .http
            .ask(&self.address, &question)
            .await
            .map_err(|why| format!("{shown} gives no token: {why}"))?;
        if !status.is_success() {
            return Err(format!("{shown} gives no token: it answers {status}"));
        }
        // The answer is not told: a token may be in it.
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| format!("{shown} answers with something that is no token"))?;
        let lifetime = lifetime(answer.expires_in);
        #[expect(
            clippy::disallowed_methods,
            reason = "librdkafka asks again by the machine's clock"
        )]
        let ends = SystemTime::now() + lifetime;
        let ends = ends.duration_since(SystemTime::UNIX_EPOCH);
        let ends = ends.map_err(|error| error.to_string())?.as_millis();
        Ok(OAuthToken {
            token: answer.access_token,
            principal_name: self.client_id.clone(),
            lifetime_ms: i64::try_from(ends).unwrap_or(i64::MAX),
        })
    }
}

/// From now on; of a server that says so many seconds.
fn lifetime(expires_in: Option<u64>) -> Duration {
    let said = expires_in.map_or(LIFETIME, Duration::from_secs);
    said.min(LONGEST)
}

/// `application/x-www-form-urlencoded`.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_that_no_clock_holds_is_a_year() {
        let cases = [
            (None, LIFETIME),
            (Some(0), Duration::ZERO),
            (Some(300), Duration::from_mins(5)),
            (Some(u64::MAX), LONGEST),
        ];
        for (expires_in, expected) in cases {
            assert_eq!(lifetime(expires_in), expected, "{expires_in:?}");
        }
    }

    /// As a consumer is polled.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_thread_of_a_runtime_may_ask_for_a_token() {
        let secret = Credential::new("secret");
        let nobody = ClientCredentials::new("http://127.0.0.1:1", "me", &secret, None, None);
        let fetched = nobody.unwrap().fetch_blocking();
        assert!(fetched.is_err_and(|why| why.contains("gives no token")));
    }
}
