//! `sso doctor`: what is wrong with this installation, and how to repair it.

mod configuration;
mod data;
mod kafka;
mod machine;
mod redis;
mod servers;
mod tls;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{Output, output};
use crate::{
    config::{Loaded, Problems},
    exit::Exit,
};

pub(super) const HELP: &str = "\
Looks at the configuration, the certificates, the data folder (the whole
database is read) or the servers of PostgreSQL, the schema, keys, outbox, Kafka
and the registry, Redis, the disk, open files, the clock, and the running server
if there is one. Changes nothing.

Exit codes: 0 nothing must be repaired; 1 something must (with --strict also for
warnings); 78 the configuration cannot be loaded.

Examples:
  sso doctor
  sso doctor --config /etc/sso/sso.toml --strict
  sso doctor --output json | jq '.findings[] | select(.severity != \"ok\")'";

/// What to do where stored data is damaged.
pub(super) const RESTORE: &str =
    "stop every server, keep a copy of what is there, and restore a backup";
/// What to do about what `sso serve` refuses.
const REFUSED: &str = "correct it: a start is refused by the same words";
/// What to do where this user may not look.
const AS_THE_SERVICE: &str = "run this as the user that the service runs as";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Exit 1 for warnings, too.
    #[arg(long)]
    strict: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// As it should be.
    Ok,
    /// It works; it could be better.
    Warning,
    /// It does not work, or others can do harm.
    Error,
}

/// One thing that was looked at. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at: a key of the configuration, or a word.
    check: &'static str,
    severity: Severity,
    /// How it is.
    what: String,
    /// What to do.
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    fn warning(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Warning,
            what: what.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn error(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::warning(check, what, remedy)
        }
    }
}

/// Looks at everything and prints what was found.
pub(super) fn run(loaded: &Result<Loaded, Problems>, args: &DoctorArgs) -> Exit {
    let (findings, unloadable) = match loaded {
        Ok(loaded) => (examine(loaded), false),
        Err(problems) => {
            let remedy = "correct it; `sso config example` shows every setting with its manual";
            let lines = problems.to_string();
            let of_line = |line: &str| Finding::error("configuration", line, remedy);
            (lines.lines().map(of_line).collect(), true)
        }
    };
    let worst = findings
        .iter()
        .map(|finding| finding.severity)
        .max()
        .unwrap_or(Severity::Ok);
    match args.output {
        Output::Json => output::print_line(
            &json!({ "healthy": worst < Severity::Error, "findings": findings }).to_string(),
        ),
        Output::Text => print(&findings),
    }
    let bearable = if args.strict {
        Severity::Ok
    } else {
        Severity::Warning
    };
    match worst {
        _ if unloadable => Exit::Configuration,
        worst if worst > bearable => Exit::Failure,
        _ => Exit::Success,
    }
}

fn examine(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = configuration::examine(loaded);
    findings.extend(tls::examine(&loaded.config));
    findings.extend(data::examine(&loaded.config));
    findings.extend(servers::examine(&loaded.config));
    findings.extend(kafka::examine(&loaded.config));
    findings.extend(redis::examine(&loaded.config));
    findings.extend(machine::examine(&loaded.config));
    findings
}

/// The worst first, each with what to do.
fn print(findings: &[Finding]) {
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in sorted {
        let mark = match finding.severity {
            Severity::Ok => "ok     ",
            Severity::Warning => "warning",
            Severity::Error => "ERROR  ",
        };
        let (check, what) = (finding.check, output::printable(&finding.what));
        output::print_line(&format!("{mark}  {check}: {what}"));
        if let Some(remedy) = &finding.remedy {
            output::print_line(&format!("         -> {}", output::printable(remedy)));
        }
    }
}
