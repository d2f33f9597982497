//! The command line and the configuration.

use anyhow::Result;
use sso_testkit::{metrics::unlisted, patience::eventually, program::Program};

use crate::support::{User, World};

fn program() -> Result<Program> {
    Program::new("welcome", env!("CARGO_BIN_EXE_welcome"))
}

#[test]
fn all_problems_of_the_configuration_are_said_at_once() -> Result<()> {
    let mut welcome = program()?;
    welcome
        .set("smtp.passwort", "x")
        .set("mail.locale", "fr")
        .set(
            "database.url",
            "postgres://welcome@db1/welcome?sslmode=prefer",
        );
    let output = welcome.run(&["config", "check"])?;
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr)?;
    for problem in [
        "WELCOME__SMTP__PASSWORT: unknown variable; did you mean WELCOME__SMTP__PASSWORD?",
        "mail.locale (WELCOME__MAIL__LOCALE): must be en or ru",
        "kafka.brokers (default): must be set",
        "kafka.registry_url (default): must be set",
        "smtp.url (default): must be set",
        "smtp.from (default): must be set",
        "database.url (WELCOME__DATABASE__URL): its sslmode must be verify-full",
    ] {
        assert!(said.contains(problem), "{problem}\nin\n{said}");
    }
    Ok(())
}

#[test]
fn half_an_account_of_the_mail_server_is_told_by_the_half_that_is_there() -> Result<()> {
    for (key, value, sentence) in [
        (
            "smtp.password",
            "x",
            "smtp.password (WELCOME__SMTP__PASSWORD): needs smtp.username beside it",
        ),
        (
            "smtp.username",
            "welcome",
            "smtp.username (WELCOME__SMTP__USERNAME): needs smtp.password beside it",
        ),
    ] {
        let mut welcome = program()?;
        welcome.set(key, value);
        let output = welcome.run(&["config", "check"])?;
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr)?;
        assert!(said.contains(sentence), "{sentence}\nin\n{said}");
        assert_eq!(said.matches("beside it").count(), 1, "{said}");
    }
    Ok(())
}

#[test]
fn every_key_has_a_manual_and_the_example_is_the_default() -> Result<()> {
    let welcome = program()?;
    let example = welcome.run_ok(&["config", "example"])?;
    for line in [
        "#listen = \"127.0.0.1:8002\"",
        "#group = \"welcome\"",
        "#topic = \"registration\"",
        "#locale = \"en\"",
        "#url = \"sqlite:\"",
    ] {
        assert!(
            example.lines().any(|found| found == line),
            "{line}\nin\n{example}"
        );
    }
    assert_eq!(welcome.run(&["nonsense"])?.status.code(), Some(64));
    Ok(())
}

#[test]
fn a_template_that_cannot_be_rendered_ends_the_start() -> Result<()> {
    let mut welcome = program()?;
    let dir = welcome.folder().join("templates");
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("welcome.txt"), "Hello {{ nmae }}")?;
    welcome
        .set("kafka.brokers", "127.0.0.1:1")
        .set("kafka.registry_url", "http://127.0.0.1:1")
        .set("smtp.url", "smtp://127.0.0.1:1")
        .set("smtp.from", "a@b.example")
        .set("templates.dir", dir.display());
    let output = welcome.run(&["serve"])?;
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("templates.dir: welcome.txt:"), "{said}");
    Ok(())
}

#[tokio::test]
async fn it_serves_while_everything_is_away_says_so_and_ends_with_zero() -> Result<()> {
    let mut welcome = program()?;
    welcome
        .set("kafka.brokers", "127.0.0.1:1")
        .set("kafka.registry_url", "http://127.0.0.1:1")
        .set("smtp.url", "smtp://127.0.0.1:1")
        .set("smtp.from", "a@b.example");
    let mut running = welcome.start().await?;
    eventually("kafka is down", async || {
        let ready = running.http.get("/welcome/ready", None).await?;
        Ok(ready.status == 200 && ready.text("state") == "degraded")
    })
    .await?;
    let alive = running.http.get("/welcome/healthz", None).await?;
    assert_eq!(alive.status, 200);
    let unknown = running.http.get("/nothing", None).await?;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code().as_str()),
        (404, "not_found")
    );
    assert_eq!(unknown.text("request_id"), unknown.header("x-request-id"));
    assert!(welcome.run_ok(&["healthcheck"])?.contains("degraded"));
    let mut second = welcome.another()?;
    second.set("data_dir", welcome.folder().join("data").display());
    assert_eq!(second.run(&["serve"])?.status.code(), Some(69));
    assert_eq!(running.stop().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn its_metrics_are_there_from_the_start_and_all_of_them_in_the_list() -> Result<()> {
    let world = World::new().await?;
    let list = world.welcome.run_ok(&["metrics"])?;
    let running = world.welcome.start().await?;
    for series in [
        r#"welcome_mails_total{outcome="gave_up"}"#,
        r#"welcome_smtp_failures_total{reason="account"}"#,
        r#"sso_kafka_consumed_total{outcome="parked"}"#,
        r#"sso_http_requests_total{route="/welcome/healthz",method="GET",code="503"}"#,
        r#"sso_connections_dropped_total{listener="http",reason="made_room"}"#,
        r#"sso_trace_spans_total{outcome="dropped"}"#,
        "sso_log_lines_dropped_total",
    ] {
        assert_eq!(running.metric(series).await?, 0, "{series}");
    }
    for need in ["database", "kafka", "smtp"] {
        let series = format!("sso_service_dependency_up{{dependency=\"{need}\"}}");
        running.metric(&series).await?;
    }
    world.register(&User::new(1, "alice@example.com")).await?;
    world.mails(1).await?;
    let page = running.http.get("/metrics", None).await?;
    let unlisted = unlisted(&list, &String::from_utf8(page.bytes.to_vec())?);
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    Ok(())
}

#[tokio::test]
async fn a_person_can_be_forgotten_and_gets_no_second_mail_for_it() -> Result<()> {
    let mut world = World::new().await?;
    let alice = User::new(1, "alice@example.com");
    world.register(&alice).await?;
    let mut running = world.welcome.start().await?;
    world.mails(1).await?;
    eventually("it is marked", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"sent\"}")
            .await?
            == 1)
    })
    .await?;
    let said = world.welcome.run_ok(&["forget", &alice.id.to_string()])?;
    assert_eq!(said.trim(), "forgotten whose they were: 1 mails");
    running.stop().await?;
    let file = std::fs::read(world.welcome.folder().join("data/welcome.db"))?;
    let times = |bytes: &[u8]| {
        let windows = file.windows(bytes.len());
        windows.filter(|window| *window == bytes).count()
    };
    // Her id by itself: who is forgotten.
    assert_eq!((times(alice.id.as_bytes()), times(b"alice@")), (1, 0));
    assert!(times(alice.event.as_bytes()) > 0);

    world.welcome.set("kafka.group", "again");
    let running = world.welcome.start().await?;
    eventually("it is done", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"forgotten\"}")
            .await?
            == 1)
    })
    .await?;
    world.mails(1).await?;
    Ok(())
}
