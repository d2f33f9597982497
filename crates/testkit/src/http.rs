//! A client of JSON over HTTP/1.1 that shows everything of an answer.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
}

impl Reply {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// A string member of the body; `""` if there is none.
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }

    /// The `code` of an error.
    pub fn code(&self) -> String {
        self.text("code")
    }

    /// A header as text; `""` if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// How long a connection may rest before it is used again: well below what the server waits for the
/// next head, so that no request meets its end.
const REST: Duration = Duration::from_secs(3);

fn client(local: Option<IpAddr>) -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_local_address(local);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(REST)
        .build(connector)
}

/// A client of one server; connections are pooled.
#[derive(Debug, Clone)]
pub struct Http {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            client: client(None),
        }
    }

    /// A client of the same server whose connections come from `local`: each of 127.0.0.0/8 is an
    /// address of this machine.
    #[must_use]
    pub fn from_address(&self, local: IpAddr) -> Self {
        Self {
            address: self.address,
            client: client(Some(local)),
        }
    }

    /// Sends a request with these headers and this body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Full::new(body.into()))?;
        for (name, value) in headers {
            let name = HeaderName::try_from(*name)?;
            request
                .headers_mut()
                .append(name, HeaderValue::try_from(*value)?);
        }
        let reply = self.client.request(request).await.context("no answer")?;
        let (head, body) = reply.into_parts();
        let bytes = body.collect().await.context("answer cut off")?.to_bytes();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            bytes,
        })
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, path, &headers, body.to_string())
            .await
    }

    /// `GET`, with a bearer token if there is one.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Reply> {
        self.bearer(Method::GET, path, token, "").await
    }

    /// A series of `/metrics`, such as `sso_logins_total{outcome="done"}`.
    pub async fn metric<T: FromStr<Err: Error + Send + Sync + 'static>>(
        &self,
        series: &str,
    ) -> Result<T> {
        let page = self.get("/metrics", None).await?;
        let page = String::from_utf8(page.bytes.to_vec())?;
        let mut values = page.lines().filter_map(|line| line.strip_prefix(series));
        let value = values.find_map(|rest| rest.strip_prefix(' '));
        let value = value.with_context(|| format!("no {series} in\n{page}"))?;
        Ok(value.parse()?)
    }

    /// A request with a bearer token and a JSON body.
    pub async fn bearer(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Result<Reply> {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        self.send(method, path, &headers, body.to_owned()).await
    }
}
