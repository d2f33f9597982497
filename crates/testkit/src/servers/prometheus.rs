//! Prometheus, to see what is scraped and which alerts fire.

use std::{fmt::Write as _, net::SocketAddr};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::{
    daemon::Daemon,
    ports::{Port, with_fresh_ports},
    sandbox::Sandbox,
    wait::{ANSWER, LIMIT, Patience, eventually},
};
use crate::http::{Http, Reply};

/// Prometheus that scrapes its targets every second; it ends when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    _sandbox: Sandbox,
    port: Port,
    targets: usize,
    daemon: Daemon,
}

impl Prometheus {
    /// Scrapes `/metrics` of these targets, as the job `sso`.
    pub async fn start(targets: &[SocketAddr]) -> Result<Self> {
        Self::start_with_rules(targets, "groups: []\n").await
    }

    /// The same with a file of rules, evaluated every second.
    pub async fn start_with_rules(targets: &[SocketAddr], rules: &str) -> Result<Self> {
        let targets: Vec<_> = targets.iter().map(|target| ("sso", *target)).collect();
        Self::start_with_jobs(&targets, rules).await
    }

    /// Scrapes `/metrics` of these targets, each as this job.
    pub async fn start_with_jobs(targets: &[(&str, SocketAddr)], rules: &str) -> Result<Self> {
        with_fresh_ports(|| async {
            let sandbox = Sandbox::new()?;
            let room = sandbox.room();
            room.write("prometheus.yml", &configuration(targets))?;
            room.write("rules.yml", rules)?;
            let port = Port::free()?;
            let mut command = room.command("prometheus", &room.subfolder("data")?);
            command
                .args(["--config.file=../prometheus.yml", "--storage.tsdb.path=."])
                .args(["--storage.tsdb.retention.time=1h", "--log.level=warn"])
                .arg("--enable-feature=exemplar-storage")
                .arg(format!("--web.listen-address={}", port.address()));
            let log = room.folder().join("prometheus.log");
            let mut daemon = Daemon::start("Prometheus", command, &log)?;
            let patience = Patience::new("Prometheus", LIMIT);
            while let Err(why) = ask(&port, "/-/ready").await {
                daemon.check()?;
                if let Err(late) = patience.not_yet(why).await {
                    return Err(late.context(daemon.tail()));
                }
            }
            Ok(Self {
                _sandbox: sandbox,
                port,
                targets: targets.len(),
                daemon,
            })
        })
        .await
    }

    /// Its loopback address.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The samples of an expression now: `{metric: {label: value, ..}, value: [time, "number"]}`.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        self.list(&path, "result").await
    }

    /// The number of an expression that has one sample.
    pub async fn value(&self, expression: &str) -> Result<f64> {
        let samples = self.query(expression).await?;
        ensure!(
            samples.len() == 1,
            "{expression} has {} samples",
            samples.len()
        );
        let number = samples[0]["value"][1].as_str().context("no number")?;
        Ok(number.parse()?)
    }

    /// The samples of an expression in the last minutes, one a second: `{metric: {label: value, ..},
    /// values: [[time, "number"], ..]}`.
    pub async fn range(&self, expression: &str, minutes: u32) -> Result<Vec<Value>> {
        let now = self.value("vector(time())").await?;
        let from = now - 60.0 * f64::from(minutes);
        let path = format!(
            "/api/v1/query_range?query={}&start={from:.3}&end={now:.3}&step=1",
            encoded(expression)
        );
        self.list(&path, "result").await
    }

    /// The exemplars of a query in the last minute: `{seriesLabels: {..}, exemplars: [{labels, value,
    /// timestamp}]}`.
    pub async fn exemplars(&self, expression: &str) -> Result<Vec<Value>> {
        let now = self.value("vector(time())").await?;
        let path = format!(
            "/api/v1/query_exemplars?query={}&start={:.3}&end={now:.3}",
            encoded(expression),
            now - 60.0
        );
        let answer = ask(&self.port, &path).await?.json();
        let found = answer["data"].as_array();
        found.cloned().with_context(|| format!("{answer}"))
    }

    /// The alerts that are pending or firing: `{labels, annotations, state, activeAt, value}`.
    pub async fn alerts(&self) -> Result<Vec<Value>> {
        self.list("/api/v1/alerts", "alerts").await
    }

    /// Waits until every target was scraped; Prometheus begins about 5 seconds after its start.
    pub async fn scraped(&self) -> Result<()> {
        let waited = eventually("the scrapes", LIMIT, || async {
            let targets = self
                .list("/api/v1/targets?state=active", "activeTargets")
                .await?;
            // Prometheus looks at its configuration a while after it is ready.
            ensure!(
                targets.len() == self.targets,
                "{} targets are known",
                targets.len()
            );
            let failed = targets.iter().find(|target| target["health"] != "up");
            match failed {
                Some(target) => Err(anyhow!("{}: {}", target["scrapeUrl"], target["lastError"])),
                None => Ok(()),
            }
        });
        waited.await.with_context(|| self.daemon.tail())
    }

    async fn list(&self, path: &str, name: &str) -> Result<Vec<Value>> {
        let mut answer = ask(&self.port, path).await?.json();
        match answer["data"][name].take() {
            Value::Array(list) => Ok(list),
            _ => Err(anyhow!("Prometheus answers {answer}")),
        }
    }
}

async fn ask(port: &Port, path: &str) -> Result<Reply> {
    let http = Http::new(port.address());
    let reply = tokio::time::timeout(ANSWER, http.get(path, None))
        .await
        .context("no answer")??;
    let text = String::from_utf8_lossy(&reply.bytes);
    ensure!(reply.status == 200, "{}: {text}", reply.status);
    Ok(reply)
}

fn configuration(targets: &[(&str, SocketAddr)]) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
"
    .to_owned();
    let mut jobs: Vec<_> = targets.iter().map(|(job, _)| *job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    for job in jobs {
        let targets = targets.iter().filter(|(of, _)| *of == job);
        let targets: Vec<_> = targets.map(|(_, target)| format!("'{target}'")).collect();
        let _ = writeln!(
            text,
            "  - job_name: {job}\n    static_configs: [{{targets: [{}]}}]",
            targets.join(", ")
        );
    }
    text
}

/// Percent-encoding of everything but letters and digits.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
