//! One registration, from the request to the mail and the points: one tree, and nothing of it
//! secret.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    persona::Persona,
    servers::collector::{Collector, Received, Span, SpanKind, attribute, hex},
};

use crate::{kafka::LONG, support::eventually_within, whole::Whole};

/// The spans of one trace, by their ids.
struct Tree(HashMap<Vec<u8>, Received>);

impl Tree {
    fn of(trace: &[u8], collector: &Collector) -> Self {
        let spans = collector.received().into_iter();
        let ours = spans.filter(|found| found.span.trace_id == trace);
        Self(
            ours.map(|found| (found.span.span_id.clone(), found))
                .collect(),
        )
    }

    fn find(&self, service: &str, name: &str) -> Result<&Received> {
        let mut found =
            (self.0.values()).filter(|found| found.service == service && found.span.name == name);
        let one = found.next();
        one.with_context(|| format!("no {name} of {service} in\n{}", self.drawn()))
    }

    /// Services and names from the root to this span.
    fn path(&self, of: &Received) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = Some(of);
        while let Some(found) = at {
            path.insert(0, format!("{}: {}", found.service, found.span.name));
            at = self.0.get(&found.span.parent_span_id);
        }
        path
    }

    /// Spans whose parents are not there.
    fn roots(&self) -> usize {
        let paths = self.0.values().map(|found| self.path(found).len());
        paths.filter(|length| *length == 1).count()
    }

    fn drawn(&self) -> String {
        let mut lines: Vec<_> = self.0.values().map(|found| self.path(found)).collect();
        lines.sort_unstable();
        lines.iter().map(|path| path.join(" > ") + "\n").collect()
    }
}

/// Whence she comes.
const HOME: [u8; 4] = [127, 0, 0, 9];

fn is_effect(found: &Received, service: &str) -> bool {
    found.service == service && found.span.kind() == SpanKind::Client
}

#[tokio::test]
async fn a_registration_is_one_tree_to_the_mail_and_to_the_points() -> Result<()> {
    let collector = Collector::start().await?;
    let endpoint = format!("http://{}", collector.grpc);
    let whole = Whole::start(Some((&endpoint, "1"))).await?;
    let before = whole.mail.mails().len();
    let home = whole.server.http.from_address(HOME.into());
    let alice = Persona::register(&home, "alice").await?;
    whole.arrived(before + 1).await?;

    let root = root_of(&collector, &alice).await?;
    // A span is sent when it ends, so children come before their parents.
    let complete = async || {
        let tree = Tree::of(&root.span.trace_id, &collector);
        let has = |service, name| tree.find(service, name).is_ok();
        let effect = tree.0.values().any(|found| is_effect(found, "loyalty"));
        let handled = ["welcome", "loyalty"].map(|service| has(service, "process registration"));
        let mailed = has("welcome", "send mail") && has("sso", "send registration");
        Ok(mailed && effect && handled == [true; 2] && tree.roots() == 1)
    };
    let seen = eventually_within(LONG, "the spans of both services", complete).await;
    let tree = Tree::of(&root.span.trace_id, &collector);
    seen.with_context(|| tree.drawn())?;

    let request = "sso: POST /auth/registration";
    let sent = "sso: send registration";
    let hashed = tree.path(tree.find("sso", "hash")?);
    assert_eq!(hashed, [request, "sso: hash"], "{}", tree.drawn());
    let stored = tree.0.values().any(|found| {
        let database = attribute(&found.span, "db.system.name");
        let path = tree.path(found);
        database.as_deref() == Some("postgresql") && path[0] == request && path.len() == 2
    });
    assert!(stored, "{}", tree.drawn());
    for service in ["welcome", "loyalty"] {
        let handled = tree.find(service, "process registration")?;
        assert_eq!(handled.span.kind(), SpanKind::Consumer);
        let path = tree.path(handled);
        let expected = format!("{service}: process registration");
        let whole = [request, sent, expected.as_str()];
        assert_eq!(path, whole, "{}", tree.drawn());
        let effects = tree.0.values().filter(|found| is_effect(found, service));
        for effect in effects {
            let path = tree.path(effect);
            assert_eq!(path[2], expected, "{}", tree.drawn());
        }
    }
    nothing_secret(&collector, &alice, &whole);
    Ok(())
}

/// The request that registered her: the newest.
async fn root_of(collector: &Collector, alice: &Persona) -> Result<Received> {
    let newest = || {
        let spans = collector.received().into_iter();
        let requests = spans.filter(|found| found.span.name == "POST /auth/registration");
        requests.max_by_key(|found| found.span.start_time_unix_nano)
    };
    // The administrator of the whole registered before her.
    let both = || {
        let spans = collector.received();
        spans
            .iter()
            .filter(|found| found.span.name == "POST /auth/registration")
            .count()
            == 2
    };
    eventually_within(LONG, "her request", async || Ok(both())).await?;
    let root = newest().context("no request")?;
    ensure!(root.span.parent_span_id.is_empty(), "{root:?} {}", alice.id);
    let code = attribute(&root.span, "http.response.status_code");
    assert_eq!(code.as_deref(), Some("201"), "{}", hex(&root.span.trace_id));
    Ok(root)
}

/// The route, the rpc and the table of passwords are no password.
fn without_names(span: &Span) -> Span {
    let mut span = span.clone();
    span.name.clear();
    let names = ["http.route", "rpc.method", "db.collection.name"];
    span.attributes
        .retain(|attribute| !names.contains(&attribute.key.as_str()));
    span
}

/// In no span of any service: names, attributes, events, states.
fn nothing_secret(collector: &Collector, alice: &Persona, whole: &Whole) {
    let spans: Vec<Span> = collector.spans();
    let everything = format!("{spans:?}");
    let secrets = [
        &alice.email,
        &alice.password,
        &alice.access,
        &alice.refresh,
        &whole.admin.email,
        &whole.admin.access,
    ];
    for secret in secrets {
        assert!(!everything.contains(secret.as_str()), "{secret}");
    }
    for secret in ["@example", "example.com", "127.0.0.9", "password", "Bearer"] {
        let span = spans
            .iter()
            .map(without_names)
            .find(|span| format!("{span:?}").contains(secret));
        assert!(span.is_none(), "{secret} in {span:?}");
    }
    assert!(spans.iter().all(|span| span.events.is_empty()));
}
