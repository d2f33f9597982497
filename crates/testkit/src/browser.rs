//! A real Chromium that reaches nothing but loopback, and what people do in Swagger's pages.

use std::{
    net::SocketAddr,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;

use crate::{process::free_port, servers::Sandbox};

/// A browser, gone when dropped: it outlives its driver, but not the sandbox.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: Client,
    _sandbox: Sandbox,
}

impl Browser {
    /// Chromium without a window, driven by chromedriver.
    pub async fn start() -> Result<Self> {
        let port = free_port()?;
        let sandbox = Sandbox::new()?;
        let profile = sandbox.room().subfolder("profile")?;
        let mut driver = sandbox
            .room()
            .command("chromedriver", sandbox.room().folder());
        driver
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let driver = driver
            .spawn()
            .context("chromedriver is missing: apt install chromium chromium-driver")?;
        // Every name but the loopback addresses resolves to nothing: what a page needs it must
        // get from its server.
        let options = json!({
            "goog:chromeOptions": {
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                    "--window-size=1300,2400",
                    format!("--user-data-dir={}", profile.display()),
                ],
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let options = options.as_object().cloned().context("an object")?;
        let address = format!("http://127.0.0.1:{port}");
        let mut builder =
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(options);
        for _ in 0..200 {
            if let Ok(client) = builder.connect(&address).await {
                return Ok(Self {
                    driver,
                    client,
                    _sandbox: sandbox,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("chromedriver gave no session")
    }

    /// Opens a page of Swagger UI and waits until it shows its document.
    pub async fn swagger(&self, address: SocketAddr, path: &str) -> Result<()> {
        self.client.goto(&format!("http://{address}{path}")).await?;
        let title = Locator::Css(".swagger-ui .info .title");
        let shown = self.client.wait().for_element(title).await;
        shown.context("the document is not shown")?;
        Ok(())
    }

    /// Runs the operation of a path by "Try it out" and returns the page's text of the answer.
    pub async fn try_out(&self, path: &str, body: &str) -> Result<String> {
        let block = format!("//div[contains(@class,'opblock ')][.//*[@data-path='{path}']]");
        let within = |rest: &str| format!("{block}{rest}");
        let click = async |path: String| -> Result<()> {
            let found = self.client.wait().for_element(Locator::XPath(&path)).await;
            let found = found.with_context(|| format!("{path} is not on the page"))?;
            // By script: the page unfolds while the pointer is on its way.
            let target = vec![serde_json::to_value(&found)?];
            self.client.execute("arguments[0].click()", target).await?;
            Ok(())
        };
        click(within("//*[contains(@class,'opblock-summary-control')]")).await?;
        let button = within("//button[contains(@class,'try-out__btn')]");
        let button = self
            .client
            .wait()
            .for_element(Locator::XPath(&button))
            .await?;
        // The page may be set to unfold ready to be tried out.
        if !button
            .attr("class")
            .await?
            .is_some_and(|class| class.contains("cancel"))
        {
            button.click().await?;
        }
        let editor = within("//textarea[contains(@class,'body-param__text')]");
        let editor = self
            .client
            .wait()
            .for_element(Locator::XPath(&editor))
            .await;
        let editor = editor.context("no editor")?;
        // React listens to the property's setter, not to the attribute.
        let script = "const [e, v] = arguments; \
            Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(e, v); \
            e.dispatchEvent(new Event('input', { bubbles: true }));";
        self.client
            .execute(script, vec![serde_json::to_value(&editor)?, json!(body)])
            .await?;
        click(within("//button[contains(@class,'execute')]")).await?;
        let live = within(
            "//*[contains(@class,'live-responses-table')]//td[contains(@class,'response-col_status')]",
        );
        self.client
            .wait()
            .for_element(Locator::XPath(&live))
            .await
            .context("no answer")?;
        let table = within("//*[contains(@class,'live-responses-table')]");
        Ok(self
            .client
            .find(Locator::XPath(&table))
            .await?
            .text()
            .await?)
    }

    /// Keeps a picture for people when `SSO_SCREENSHOTS` names a folder.
    pub async fn picture(&self, name: &str) -> Result<()> {
        if let Some(folder) = std::env::var_os("SSO_SCREENSHOTS") {
            let file = std::path::Path::new(&folder).join(name);
            std::fs::write(file, self.client.screenshot().await?)?;
        }
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
