//! Who is calling.

use anyhow::Result;
use http::Method;
use sso_testkit::{patience::eventually, program::Running};

use crate::support::{Shop, Store};

/// How many tokens had this outcome.
async fn counted(running: &Running, outcome: &str) -> Result<i64> {
    let series = format!("sso_verifier_tokens_total{{outcome=\"{outcome}\"}}");
    running.metric(&series).await
}

#[tokio::test]
async fn a_token_is_taken_with_its_scheme_and_bare_and_refused_when_it_is_over() -> Result<()> {
    let mut shop = Shop::new(Store::Sqlite).await?;
    let alice = shop.user("alice").await?;
    let running = shop.loyalty.start().await?;
    let path = format!("/loyalty/{}", alice.id);
    let ask = async |value: &str| {
        let headers = [("authorization", value)];
        running.http.send(Method::GET, &path, &headers, "").await
    };
    for good in [format!("Bearer {}", alice.access), alice.access.clone()] {
        let reply = ask(&good).await?;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (404, "not_found")
        );
    }
    for (bad, code) in [
        (format!("Bearer {}", alice.refresh), "wrong_token_type"),
        (format!("Basic {}", alice.access), "invalid_token"),
        (format!("Bearer {}x", alice.access), "invalid_token"),
    ] {
        let reply = ask(&bad).await?;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, code));
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.text("status"), "Error");
        assert_eq!(reply.text("request_id"), reply.header("x-request-id"));
    }
    let none = running.http.get(&path, None).await?;
    assert_eq!(
        (none.status.as_u16(), none.code().as_str()),
        (401, "invalid_token")
    );
    // Two had no token that could be read.
    for (outcome, count) in [("good", 2), ("wrong_token_type", 1), ("invalid_token", 1)] {
        assert_eq!(counted(&running, outcome).await?, count, "{outcome}");
    }

    let said = shop.site.run_ok(&["user", "disable", &alice.email])?;
    assert!(said.contains("everywhere"), "{said}");
    eventually("a disabled user is refused", async || {
        let reply = ask(&alice.access).await?;
        Ok((reply.status.as_u16(), reply.code().as_str()) == (401, "token_revoked"))
    })
    .await?;
    assert!(counted(&running, "token_revoked").await? > 0);
    heard(&running).await?;
    nothing_fails_open(&mut shop, &running).await
}

/// A revocation is in memory; what is heard is believed for a second at most.
async fn heard(running: &Running) -> Result<()> {
    eventually("the revocation is there", async || {
        Ok(running.metric("sso_verifier_revocations").await? > 0)
    })
    .await?;
    let trusted: f64 = running.http.metric("sso_verifier_trusted_seconds").await?;
    assert!(trusted > 0.0 && trusted <= 1.0, "{trusted}");
    Ok(())
}

async fn nothing_fails_open(shop: &mut Shop, running: &Running) -> Result<()> {
    let bob = shop.user("bob").await?;
    shop.sso.kill()?;
    eventually("what cannot be known is refused", async || {
        let reply = running
            .http
            .get(
                "/loyalty/00000000-0000-0000-0000-000000000000",
                Some(&bob.access),
            )
            .await?;
        Ok(reply.status == 503 && reply.header("retry-after") == "1")
    })
    .await?;
    assert!(counted(running, "unavailable").await? > 0);
    let unanswered = "sso_verifier_questions_total{outcome=\"unanswered\"}";
    assert!(running.metric(unanswered).await? > 0);
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_refused() -> Result<()> {
    let mut shop = Shop::new(Store::Sqlite).await?;
    drop(shop.sso);
    shop.site.set("SSO__TOKENS__ACCESS_TTL", "1s");
    shop.sso = shop.site.serve().await?;
    let alice = shop.user("alice").await?;
    let running = shop.loyalty.start().await?;
    // A second, and the leeway of ten.
    eventually("it is expired", async || {
        let reply = running
            .http
            .get(&format!("/loyalty/{}", alice.id), Some(&alice.access))
            .await?;
        Ok((reply.status.as_u16(), reply.code().as_str()) == (401, "token_expired"))
    })
    .await
}

#[tokio::test]
async fn probes_metrics_and_the_document_are_served() -> Result<()> {
    let shop = Shop::new(Store::Sqlite).await?;
    let running = shop.loyalty.start().await?;
    let user = shop.user("nobody").await?;
    let nobody = running.http.get("/loyalty/%FF", Some(&user.access)).await?;
    assert_eq!(
        (nobody.status.as_u16(), nobody.code().as_str()),
        (404, "not_found")
    );
    for (path, status) in [
        ("/loyalty/ready", 200),
        ("/loyalty/healthz", 200),
        ("/swagger/index.html", 200),
        ("/swagger", 307),
        ("/metrics", 200),
        ("/loyalty/", 404),
        ("/nothing", 404),
    ] {
        assert_eq!(
            running.http.get(path, None).await?.status.as_u16(),
            status,
            "{path}"
        );
    }
    let document = running.http.get("/swagger/doc.json", None).await?.json();
    let paths: Vec<_> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, _)| path.clone())
        .collect();
    assert_eq!(
        paths,
        ["/loyalty", "/loyalty/{uuid}", "/loyalty/{uuid}/entries"]
    );
    let wrong = running
        .http
        .bearer(Method::DELETE, "/loyalty", None, "")
        .await?;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code().as_str()),
        (405, "method_not_allowed")
    );
    assert_eq!(wrong.header("allow"), "POST");
    assert_eq!(running.metric("loyalty_ledger_unbalanced").await?, 0);
    Ok(())
}
