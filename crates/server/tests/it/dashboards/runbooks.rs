//! What runbooks say to type, look at and ask exists.
//!
//! Seen red: a metric, a panel, an option and a sentence of the log that are not there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use sso_testkit::program::sibling;

use super::{deploy, panels};
use crate::support::{SSO, site};

/// Programs of others; what is typed of them is theirs.
const FOREIGN: [&str; 7] = [
    "openssl",
    "systemctl",
    "kubectl",
    "ls",
    "patronictl",
    "redis-cli",
    "SELECT",
];
/// Words of PostgreSQL, Kafka and the operating system.
const TERMS: [&str; 10] = [
    "pg_stat_activity",
    "wait_event_type = 'Lock'",
    "max_standby_streaming_delay",
    "synchronous_standby_names",
    "max.message.bytes",
    "retention.ms",
    "LimitNOFILE",
    "tls_cert",
    "/proc",
    "ID",
];

const ANY_ID: &str = "00000000-0000-7000-8000-000000000000";

/// What is known to the repository.
struct Known {
    /// The list of metrics.
    metrics: String,
    configuration: String,
    /// Titles and legends of panels, and titles of dashboards.
    panels: BTreeSet<String>,
    rules: String,
    /// All of the programs' text.
    source: String,
    /// Expressions that runbooks ask.
    asked: Vec<String>,
}

fn repository(path: &str) -> PathBuf {
    deploy("..").join(path)
}

fn read_all(folder: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, text)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(())
}

impl Known {
    fn read() -> Result<Self> {
        let page = |path: &str| fs::read_to_string(repository(path)).context(path.to_owned());
        let mut source = String::new();
        for folder in ["crates", "services"] {
            read_all(&repository(folder), &mut source)?;
        }
        let mut panels = BTreeSet::new();
        for query in panels::queries()? {
            panels.extend([query.board_title, query.panel, query.legend]);
        }
        Ok(Self {
            metrics: page("docs/metrics.md")?,
            configuration: page("docs/config.md")?,
            panels,
            rules: page("deploy/prometheus/rules/sso.yml")?,
            source,
            asked: Vec::new(),
        })
    }

    /// A piece of code in a sentence.
    fn check(&mut self, code: &str) -> Result<()> {
        // Where a person puts an id.
        let words = code.split_whitespace();
        let words: Vec<&str> = words
            .map(|word| if word == "ID" { ANY_ID } else { word })
            .collect();
        let first = *words.first().context("nothing")?;
        match first {
            "sso" => return help(&mut site()?.command(&words[1..])),
            "welcome" | "loyalty" => {
                return help(Command::new(sibling(SSO, first)?).args(&words[1..]));
            }
            "curl" => return self.is_url(words.last().context("no address")?),
            _ if FOREIGN.contains(&first) || TERMS.contains(&code) => return Ok(()),
            _ => {}
        }
        let is_query = names(code).any(is_metric) || names(code).next() == Some("up");
        if is_query {
            return self.is_query(code);
        }
        let is_known = self.configuration.contains(code.trim_end_matches('*'))
            || self.source.contains(code)
            || self.metrics.contains(code);
        ensure!(is_known, "`{code}` is nowhere");
        Ok(())
    }

    /// Its metrics exist; that it parses is asked later, of all at once.
    fn is_query(&mut self, code: &str) -> Result<()> {
        for name in names(code).filter(|name| is_metric(name)) {
            let is_known = if name.contains(':') {
                self.rules.contains(&format!("record: {name}\n"))
            } else {
                self.metrics.contains(&format!("`{name}"))
            };
            ensure!(is_known, "no metric {name}");
        }
        self.asked.push(code.to_owned());
        Ok(())
    }

    /// Its path is one that a program serves.
    fn is_url(&self, url: &str) -> Result<()> {
        let path = url.splitn(4, '/').nth(3).context("no path")?;
        let service = path.split('/').next().unwrap_or_default();
        let routes = [format!("\"/{path}\""), path.replace(service, "{program}")];
        let is_served = routes.iter().any(|route| self.source.contains(route));
        ensure!(is_served, "nobody serves {path}");
        Ok(())
    }
}

/// What may be names of metrics in an expression.
fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)))
}

fn is_metric(name: &str) -> bool {
    let ours = ["sso_", "sso:", "welcome_", "loyalty_", "process_"];
    ours.iter().any(|begin| name.starts_with(begin))
}

/// A command whose help is asked for is not carried out, but its options must be right.
fn help(command: &mut Command) -> Result<()> {
    let output = command.arg("--help").output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What stands between two marks, in the lines of a text.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(move |line| line.split(mark).skip(1).step_by(2))
}

#[test]
fn what_runbooks_say_to_type_to_ask_and_to_look_at_exists() -> Result<()> {
    let mut known = Known::read()?;
    let mut wrong = Vec::new();
    for file in fs::read_dir(repository("docs/runbooks"))? {
        let file = file?.path();
        let text = fs::read_to_string(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for code in between(&text, '`') {
            if let Err(error) = known.check(code) {
                wrong.push(format!("{name}: {error:#}"));
            }
        }
        let prose: String = text.split('`').step_by(2).collect();
        for title in between(&prose, '*') {
            if !known.panels.contains(title) {
                wrong.push(format!("{name}: no panel *{title}*"));
            }
        }
        for link in prose.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if !repository("docs/runbooks").join(target).exists() {
                wrong.push(format!("{name}: no {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    parses(&known.asked)
}

/// By Prometheus' own parser.
fn parses(expressions: &[String]) -> Result<()> {
    ensure!(expressions.len() > 15, "{expressions:?}");
    let mut rules = vec!["groups:\n  - name: runbooks\n    rules:".to_owned()];
    for expression in expressions {
        let quoted = serde_json::to_string(expression)?;
        rules.push(format!("      - {{record: 'asked', expr: {quoted}}}"));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules.yml");
    fs::write(&file, rules.join("\n"))?;
    let checked = Command::new("promtool")
        .args(["check", "rules", "--lint=none"])
        .arg(&file)
        .output()?;
    if !checked.status.success() {
        bail!("{}", String::from_utf8_lossy(&checked.stderr));
    }
    Ok(())
}
