//! How many series there are: as many as the code has, whoever comes.

use anyhow::{Result, ensure};
use serde_json::json;
use sso_testkit::{
    http::Http,
    persona::Grpc,
    process::{Server, Site},
};

use crate::{
    support::{rounds, site, validate},
    whole::{Whole, life},
};

use super::check_metrics;

/// Different people.
const PEOPLE: usize = 10_000;
/// Where each costs a whole hash.
const MORE: usize = 20;

/// Hashes that cost next to nothing, and no throttle, so that all are answered alike.
fn quick() -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__PASSWORDS__ARGON2_MEMORY", 8)
        .set("SSO__PASSWORDS__ARGON2_ITERATIONS", 1)
        .set("SSO__LOGIN__FAILURE_FLOOR", "1ms");
    Ok(site)
}

/// Somebody registers; some do more, with their own addresses, tokens and paths.
async fn visit(http: Http, mut grpc: Grpc, number: usize) -> Result<()> {
    let name = format!("visitor{number}");
    let somebody = json!({"email": format!("{name}@example.com"), "password": "a password of his"});
    let reply = http.post("/auth/registration", &somebody).await?;
    ensure!(reply.status == 201, "{reply:?}");
    if number.is_multiple_of(10) {
        let token = reply.text("access_token");
        http.get("/auth/info", Some(&token)).await?;
        http.get(&format!("/{name}"), None).await?;
        http.get(&format!("/auth/sessions/{name}"), Some(&name))
            .await?;
        let mut wrong = somebody.clone();
        wrong["password"] = json!("not his password");
        http.post("/auth/login", &wrong).await?;
        http.post("/auth/login", &somebody).await?;
        grpc.validate(validate(&token)).await?;
        ensure!(grpc.validate(validate(&name)).await.is_err());
    }
    Ok(())
}

async fn visits(server: &Server, from: usize, count: usize) -> Result<()> {
    let grpc = server.grpc().await?;
    let visitor = |number| visit(server.http.clone(), grpc.clone(), from + number);
    rounds(count, 16, visitor).await
}

/// Names and labels, and the page.
async fn series(http: &Http) -> Result<(Vec<String>, String)> {
    let page = http.get("/metrics", None).await?;
    let text = String::from_utf8(page.bytes.to_vec())?;
    let series = (text.lines())
        // Statements of the loops in the background are as many as the source has.
        .filter(|line| !line.starts_with('#') && !line.starts_with("sso_store_statement_"))
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
    Ok((series.collect(), text))
}

#[tokio::test]
async fn ten_thousand_people_make_no_series() -> Result<()> {
    let server = quick()?.serve().await?;
    life(&server).await?;
    visits(&server, 0, 20).await?;
    let (before, _) = series(&server.admin).await?;
    visits(&server, 20, PEOPLE).await?;
    let (after, text) = series(&server.admin).await?;
    same(&before, &after)?;
    impersonal(&text, &["visitor", "example.com", "127.0.0."])
}

fn same(before: &[String], after: &[String]) -> Result<()> {
    let new: Vec<_> = after.iter().filter(|one| !before.contains(one)).collect();
    ensure!(new.is_empty() && before.len() == after.len(), "{new:#?}");
    Ok(())
}

fn impersonal(page: &str, personal: &[&str]) -> Result<()> {
    for personal in personal {
        let line = page.lines().find(|line| line.contains(personal));
        ensure!(line.is_none(), "{line:?}");
    }
    Ok(())
}

/// People come to all that there is, of which each has been used: no program has more series then, and
/// each of the pages is one by Prometheus' own rules.
pub(super) async fn bounded(whole: &Whole) -> Result<()> {
    let programs = [
        &whole.server.admin,
        &whole.welcome.http,
        &whole.loyalty.http,
    ];
    let mut before = Vec::new();
    for http in programs {
        check_metrics(http).await?;
        before.push(series(http).await?.0);
    }
    for _ in 0..MORE {
        whole.load().await?;
    }
    for (http, before) in programs.into_iter().zip(before) {
        let (after, page) = series(http).await?;
        same(&before, &after)?;
        // Servers are named by their addresses, people by nothing.
        impersonal(&page, &["example.com", &whole.admin.id])?;
    }
    Ok(())
}
