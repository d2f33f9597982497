//! Deadlines, panics, compression, metrics: what stands around each call.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sso_core::{
    ports::{HashError, Hasher, Queue, Verified, Work},
    values::{NewPassword, Password, PasswordHash},
};
use sso_grpc::GrpcOptions;
use tonic::Code;

use crate::harness::{EMAIL, PASSWORD, PATIENCE, Port, Refused, string};

/// A hasher that does not do its work.
enum Broken {
    Stuck,
    Panicking,
    Full,
}

impl Broken {
    fn into(self) -> impl FnOnce(&mut GrpcOptions) {
        move |options| options.sso.hasher = Arc::new(self)
    }

    async fn fail<T>(&self, queue: Queue) -> Result<T, HashError> {
        match self {
            Self::Stuck => std::future::pending().await,
            Self::Panicking => panic!("the secret of the panic"),
            Self::Full => Err(HashError::Overloaded {
                queue,
                retry_after: Duration::from_millis(1200),
            }),
        }
    }
}

#[async_trait]
impl Hasher for Broken {
    async fn hash(&self, work: Work, _: NewPassword) -> Result<PasswordHash, HashError> {
        self.fail(work.queue).await
    }

    async fn rehash(&self, work: Work, _: Password) -> Result<PasswordHash, HashError> {
        self.fail(work.queue).await
    }

    async fn verify(
        &self,
        work: Work,
        _: Password,
        _: Option<PasswordHash>,
    ) -> Result<Verified, HashError> {
        self.fail(work.queue).await
    }
}

fn login() -> Vec<u8> {
    [string(1, EMAIL.as_bytes()), string(2, PASSWORD.as_bytes())].concat()
}

#[tokio::test]
async fn grpc_timeout_ends_a_call_that_takes_longer() -> Result<()> {
    let port = Port::with(|options| {
        Broken::Stuck.into()(options);
        options.request_timeout = Duration::from_hours(1);
    })
    .await?;
    let timeout = [("grpc-timeout", "30m")];
    let raw = port.raw("/auth.Auth/Login", &timeout, 0, &login()).await?;
    let refused = Refused::of(&raw.status()?);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::DeadlineExceeded, "deadline_exceeded")
    );

    let body = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
    let reply = port.post_with("/sso/login", &timeout, body).await?;
    assert_eq!(reply.status, 504);
    assert_eq!(Refused::of_json(&reply.json()), refused);
    Ok(())
}

#[tokio::test]
async fn the_servers_own_bound_holds_whatever_a_caller_asks_for() -> Result<()> {
    let port = Port::with(|options| {
        Broken::Stuck.into()(options);
        options.request_timeout = Duration::from_millis(30);
    })
    .await?;
    for timeout in [&[][..], &[("grpc-timeout", "99999999H")]] {
        let raw = port.raw("/auth.Auth/Login", timeout, 0, &login()).await?;
        assert_eq!(raw.status()?.code(), Code::DeadlineExceeded);
    }
    Ok(())
}

#[tokio::test]
async fn a_malformed_grpc_timeout_is_refused() -> Result<()> {
    let port = Port::start().await?;
    for timeout in ["", "1", "1s", "123456789S", "-1S"] {
        let raw = port
            .raw(
                "/auth.Auth/Login",
                &[("grpc-timeout", timeout)],
                0,
                &login(),
            )
            .await?;
        assert_eq!(raw.status()?.code(), Code::InvalidArgument, "{timeout}");
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_is_an_opaque_internal_error_and_the_connection_lives() -> Result<()> {
    let port = Port::with(Broken::Panicking.into()).await?;
    let raw = port.raw("/auth.Auth/Login", &[], 0, &login()).await?;
    let status = raw.status()?;
    assert_eq!(status.code(), Code::Internal);
    assert!(!format!("{status:?}").contains("secret"));
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    for _ in 0..2 {
        let reply = port.http.post("/sso/login", &body).await?;
        assert_eq!(reply.status, 500);
        assert_eq!(Refused::of_json(&reply.json()), Refused::of(&status));
    }
    Ok(())
}

#[tokio::test]
async fn overload_is_unavailable_and_says_when_to_try_again() -> Result<()> {
    let port = Port::with(Broken::Full.into()).await?;
    let status = port
        .raw("/auth.Auth/Login", &[], 0, &login())
        .await?
        .status()?;
    assert_eq!(Refused::of(&status).reason, "overloaded");
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(
        details.retry_info().unwrap().retry_delay,
        Some(Duration::from_millis(1200))
    );
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    let reply = port.http.post("/sso/login", &body).await?;
    assert_eq!(
        (reply.status.as_u16(), reply.header("retry-after")),
        (503, "2")
    );
    Ok(())
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() -> Result<()> {
    let port = Port::start().await?;
    for path in ["/auth.Auth/Nothing", "/nothing.Nothing/Nothing", "/"] {
        let status = port.raw(path, &[], 0, &[]).await?.status()?;
        assert_eq!(Refused::of(&status).reason, "unimplemented", "{path}");
        assert_eq!(status.message(), "there is no such method", "{path}");
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn compressed_messages_are_read_to_the_bound() -> Result<()> {
    let port = Port::start().await?;
    let gzip = |bytes: &[u8]| -> Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        Ok(encoder.finish()?)
    };
    let encoding = [("grpc-encoding", "gzip")];
    let raw = port
        .raw("/auth.Auth/Register", &encoding, 1, &gzip(&login())?)
        .await?;
    assert_eq!(raw.status()?.code(), Code::Ok);
    let bomb = gzip(&string(1, &vec![b'x'; 10_000_000]))?;
    let raw = port.raw("/auth.Auth/Register", &encoding, 1, &bomb).await?;
    assert_eq!(Refused::of(&raw.status()?).reason, "payload_too_large");
    Ok(())
}

#[tokio::test]
async fn the_request_id_is_echoed_and_stands_in_the_details() -> Result<()> {
    let port = Port::start().await?;
    let raw = port
        .raw(
            "/auth.Auth/Login",
            &[("x-request-id", "an-id.of_mine-1")],
            0,
            &[],
        )
        .await?;
    assert_eq!(raw.headers["x-request-id"], "an-id.of_mine-1");
    let details = tonic_types::StatusExt::get_error_details(&raw.status()?);
    assert_eq!(
        details.request_info().unwrap().request_id,
        "an-id.of_mine-1"
    );
    let malformed = port.raw("/auth.Auth/Login", &[], 0, b"\xff").await?;
    let details = tonic_types::StatusExt::get_error_details(&malformed.status()?);
    assert_eq!(
        details.request_info().unwrap().request_id,
        "made-by-the-test"
    );
    Ok(())
}

#[tokio::test]
async fn every_call_is_counted_by_the_rpc_that_it_is_in_either_form() -> Result<()> {
    let metrics = sso_telemetry::Metrics::install()?;
    sso_grpc::register_metrics();
    let count = |method: &str, code: &str| {
        let service = if method == "unmatched" {
            method
        } else {
            "auth.Auth"
        };
        let series = format!(
            "sso_grpc_requests_total{{service=\"{service}\",method=\"{method}\",code=\"{code}\"}} "
        );
        let text = metrics.render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&series).map(str::to_owned));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    for method in [
        "Register", "Login", "Refresh", "IsAdmin", "Logout", "Validate",
    ] {
        assert!(count(method, "OK").is_some(), "{method}");
    }
    // Other tests count too: at least these are there.
    let before = count("Refresh", "INVALID_ARGUMENT").unwrap_or_default();
    let port = Port::start().await?;
    port.raw("/auth.Auth/Refresh", &[], 0, &[]).await?;
    port.http.post("/sso/refresh", &json!({})).await?;
    port.post_with("/auth.Auth/Refresh", &[], "not json")
        .await?;
    port.post_with("/sso/refresh", &[("grpc-timeout", "x")], "{}")
        .await?;
    assert!(count("Refresh", "INVALID_ARGUMENT").unwrap_or_default() >= before + 4);
    // What cannot be read is nobody's fault but the client's, in the count too.
    port.raw("/auth.Auth/IsAdmin", &[], 2, b"abc").await?;
    assert_eq!(count("IsAdmin", "INTERNAL").unwrap_or_default(), 0);
    port.raw("/auth.Auth/Whatever-a-stranger-makes-up", &[], 0, &[])
        .await?;
    assert!(count("unmatched", "UNIMPLEMENTED").is_some());
    assert!(!metrics.render().contains("stranger"));
    let duration =
        "sso_grpc_request_duration_seconds_count{service=\"auth.Auth\",method=\"Refresh\"}";
    assert!(metrics.render().contains(duration));
    Ok(())
}

#[tokio::test]
async fn a_call_whose_caller_went_away_is_counted_as_cancelled() -> Result<()> {
    let metrics = sso_telemetry::Metrics::install()?;
    let series = "{service=\"auth.Auth\",method=\"Register\",code=\"CANCELLED\"} 1";
    assert!(!metrics.render().contains(series));
    let port = Port::with(Broken::Stuck.into()).await?;
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    let call = port.http.post("/sso/register", &body);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    let counted = async {
        while !metrics.render().contains(series) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await?;
    Ok(())
}
