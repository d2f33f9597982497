//! `sso top`, beside a running instance and without one.

mod relay;
mod terminal;

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use sso_testkit::{persona::Persona, process::free_port};

use self::{relay::Relay, terminal::Terminal};
use crate::{
    kafka::LONG,
    support::{eventually_within, site, unique, validate},
};

/// The row that begins with these words, without them.
fn row<'a>(frame: &'a str, name: &str) -> Result<Vec<&'a str>> {
    let found = frame.lines().find_map(|line| {
        let after = &line[line.find(name)? + name.len()..];
        Some(after.split("  ").filter(|cell| !cell.trim().is_empty()))
    });
    let cells = found.with_context(|| format!("no row {name} in\n{frame}"))?;
    Ok(cells.map(str::trim).collect())
}

/// How often it happened, by a rate and the time that the frame is about.
fn times(frame: &str, name: &str) -> Result<f64> {
    let over = frame.split("over ").nth(1).context("no time")?;
    let seconds: f64 = over.split(' ').next().context("no time")?.parse()?;
    let rate = row(frame, name)?[0];
    let rate = rate.split_whitespace().next().context("no rate")?;
    Ok((rate.parse::<f64>()? * seconds).round())
}

/// The second page waits for the end of the load, so what happened between both is known.
#[tokio::test]
async fn the_rates_of_a_frame_are_what_happened_in_its_time() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__ENABLED", false);
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, &unique()).await?;
    let mut relay = Relay::start(server.admin_address).await?;
    let address = relay.address.to_string();
    let mut top = site.command(&["top", "--once", "--interval", "100ms", "--timeout", "60s"]);
    let top = top
        .args(["--address", &address])
        .stdout(Stdio::piped())
        .spawn()?;
    relay.answered(1).await?;
    let mut grpc = server.grpc().await?;
    for _ in 0..9 {
        alice.info().await?;
    }
    for _ in 0..7 {
        grpc.validate(validate(&alice.access)).await?;
    }
    ensure!(grpc.validate(validate("no token")).await.is_err());
    alice.login().await?;
    alice.login().await?;
    alice.try_login("wrong password").await?;
    Persona::register(&server.http, &unique()).await?;
    relay.go_on();
    let output = tokio::task::spawn_blocking(move || top.wait_with_output()).await??;
    ensure!(output.status.success(), "{output:?}");
    let frame = String::from_utf8(output.stdout)?;
    for (name, expected) in [
        ("/auth/info", 9.0),
        ("/auth/login", 3.0),
        ("/auth/registration", 1.0),
        ("Validate", 8.0),
        ("login, success", 2.0),
        ("login, invalid credentials", 1.0),
        ("registration, success", 1.0),
        ("argon2id", 4.0),
    ] {
        let found = times(&frame.replace("/s ", "   "), name)?;
        assert!(
            (found - expected).abs() < 0.5,
            "{name}: {found} in\n{frame}"
        );
    }
    // A hash takes longer than nothing, and what was refused is nobody's fault here.
    let login = row(&frame, "/auth/login")?;
    assert_eq!(login[1], "0", "{frame}");
    assert!(
        login[3].ends_with(" s") || login[3].ends_with(" ms"),
        "{frame}"
    );
    assert!(frame.contains("tokens are validated"), "{frame}");
    assert!(frame.lines().all(|line| line.len() <= 120), "{frame}");
    Ok(())
}

#[test]
fn without_an_answer_there_is_one_clear_sentence() -> Result<()> {
    let mut site = site()?;
    let nobody = free_port()?;
    site.set("SSO__ADMIN__LISTEN", format!("127.0.0.1:{nobody}"));
    let refused = site.run(&["top", "--once"])?;
    let said = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(69), "{said}");
    let expected = format!("no metrics at http://127.0.0.1:{nobody}/metrics: Connection refused");
    assert!(said.contains(&expected), "{said}");

    let piped = site.run(&["top"])?;
    let said = String::from_utf8(piped.stderr)?;
    assert_eq!(piped.status.code(), Some(64), "{said}");
    assert!(said.contains("--once"), "{said}");

    site.set("SSO__ADMIN__LISTEN", "off");
    let nowhere = site.run(&["top", "--once"])?;
    let said = String::from_utf8(nowhere.stderr)?;
    assert_eq!(nowhere.status.code(), Some(78), "{said}");
    assert!(said.contains("admin.listen"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_port_of_something_else_is_not_taken_for_an_instance() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let address = server.http_address.to_string();
    let refused = site.run(&["top", "--once", "--address", &address])?;
    let said = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(69), "{said}");
    assert!(said.contains("the answer is 404"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_terminal_may_change_its_size_the_instance_may_end_and_q_quits() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    let command = site.command(&["top", "--interval", "100ms"]);
    let mut terminal = Terminal::start(&command, 130, 40)?;
    terminal.comes_to_show("validated,", (130, 40)).await?;
    terminal.comes_to_show("Process", (130, 40)).await?;
    assert!(!terminal.shows("below"), "{}", terminal.screen());

    terminal.comes_to_show("below", (40, 10)).await?;
    assert!(!terminal.shows("Process"), "{}", terminal.screen());
    for _ in 0..8 {
        terminal.type_in(b" ")?;
    }
    terminal.comes_to_show("dropped/s", (40, 10)).await?;

    server.kill()?;
    terminal.comes_to_show("answer", (60, 10)).await?;
    terminal.type_in(b"q")?;
    let ended = tokio::time::timeout(LONG, terminal.ended()).await??;
    assert!(ended.success(), "{ended:?}");
    let left = async || Ok(terminal.shows("\x1b[?1049l"));
    eventually_within(LONG, "the alternate screen is left", left).await?;
    Ok(())
}
