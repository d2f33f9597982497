//! Where everything listens, and how it is: for people, and as JSON for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::system::System;

/// Mails that are shown, the newest.
const MAILS: usize = 100;

impl System {
    /// For people.
    pub(crate) async fn status(&self) -> String {
        let (http, grpc) = (self.balancer.http.address(), self.balancer.grpc.address());
        let loyalty = self.loyalty.address();
        let mails = self.mail.mails().len();
        let lines = [
            (
                "HTTP",
                format!("http://{http}      Swagger UI http://{http}/swagger/index.html"),
            ),
            (
                "gRPC",
                format!("{grpc}             Swagger UI http://{grpc}/sw/"),
            ),
            (
                "loyalty",
                format!("http://{loyalty}/loyalty  Swagger UI http://{loyalty}/swagger/index.html"),
            ),
            (
                "Prometheus",
                format!("http://{}", self.prometheus.address()),
            ),
            (
                "traces",
                format!("http://{}/api/traces", self.traces.http()),
            ),
            (
                "PostgreSQL",
                format!(
                    "leader {}   replicas {}",
                    self.patroni.url("sso"),
                    self.patroni.replicas_url("sso")
                ),
            ),
            (
                "Kafka",
                format!(
                    "{}   registry {}",
                    self.kafka.brokers(),
                    self.registry.url()
                ),
            ),
            (
                "mail",
                format!("{mails} received by {}", self.mail.address()),
            ),
        ];
        let mut text = format!("started in {:.1} s\n", self.took.as_secs_f64());
        let mut line = |what: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {what:12} {value}");
        };
        for (what, value) in lines {
            line(what, &value);
        }
        for program in self.programs() {
            let is = if program.is_ready().await {
                "ready"
            } else {
                "not ready"
            };
            let value = format!("{is}   http://{}", program.address());
            line(program.name, &value);
        }
        let data = self.sandbox.room().folder().display().to_string();
        line("data", &data);
        text
    }

    /// For programs.
    pub(crate) async fn json(&self) -> Value {
        let mut ready = serde_json::Map::new();
        for program in self.programs() {
            ready.insert(program.name.to_owned(), program.is_ready().await.into());
        }
        let mails = self.mail.mails();
        let mails = mails.iter().rev().take(MAILS).map(|mail| {
            json!({ "to": mail.to, "subject": mail.header("subject"), "message_id": mail.header("message-id") })
        });
        json!({
            "http": self.balancer.http.address(),
            "grpc": self.balancer.grpc.address(),
            "loyalty": self.loyalty.address(),
            "prometheus": self.prometheus.address(),
            "traces": self.traces.http(),
            "ready": ready,
            "mails": mails.collect::<Vec<_>>(),
            "started_in_seconds": self.took.as_secs_f64(),
        })
    }

    /// The end of a log, or the names of all.
    pub(crate) fn logs(&self, name: Option<&str>) -> String {
        let programs = self.programs();
        match programs.iter().find(|program| Some(program.name) == name) {
            Some(program) => program.tail(),
            None => programs.map(|program| program.name).join("\n"),
        }
    }
}
