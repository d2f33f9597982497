//! Both Swagger pages in a real Chromium that reaches nothing but the server.

use anyhow::Result;
use sso_testkit::browser::Browser;

use crate::support::site;

#[tokio::test]
async fn both_pages_load_without_a_network_and_can_be_tried_out() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let browser = Browser::start().await?;
    let who = r#"{"email":"alice@example.com","password":"correct horse battery"}"#;

    browser
        .swagger(server.http_address, "/swagger/index.html")
        .await?;
    let answer = browser.try_out("/auth/registration", who).await;
    browser.picture("swagger-http.png").await?;
    let answer = answer?;
    assert!(
        answer.contains("201") && answer.contains("access_token"),
        "{answer}"
    );

    browser.swagger(server.grpc_address, "/sw/").await?;
    let answer = browser.try_out("/sso/login", who).await;
    browser.picture("swagger-grpc.png").await?;
    let answer = answer?;
    assert!(
        answer.contains("200") && answer.contains("accessToken"),
        "{answer}"
    );
    Ok(())
}
