//! Prometheus.

use std::net::SocketAddr;

use sso_testkit::servers::Prometheus;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::until;

const RULES: &str = "
groups:
  - name: tests
    rules:
      - record: answer:doubled
        expr: answer_total * 2
      - alert: TargetDown
        expr: up == 0
        labels: {severity: page}
";

/// A target that has one counter, until the task is aborted.
async fn target() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = client.read(&mut request).await.unwrap();
            let body = "# TYPE answer_total counter\nanswer_total{kind=\"a b\"} 21\n";
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n";
            let answer = format!(
                "{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn what_is_scraped_can_be_asked_for_and_a_dead_target_is_an_alert() {
    let (address, task) = target().await;
    let prometheus = Prometheus::start_with_rules(&[address], RULES)
        .await
        .unwrap();
    prometheus.scraped().await.unwrap();
    let sample = prometheus
        .value("answer_total{kind=\"a b\"}")
        .await
        .unwrap();
    assert!((sample - 21.0).abs() < f64::EPSILON);
    until("recorded rule", || async {
        let value = prometheus.value("answer:doubled").await;
        value.is_ok_and(|value| (value - 42.0).abs() < f64::EPSILON)
    })
    .await;
    assert!(prometheus.value("absent_total").await.is_err());
    task.abort();
    until("alert", || async {
        let alerts = prometheus.alerts().await.unwrap();
        alerts
            .iter()
            .any(|alert| alert["labels"]["alertname"] == "TargetDown" && alert["state"] == "firing")
    })
    .await;
}
