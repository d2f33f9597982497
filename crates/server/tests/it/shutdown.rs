//! SIGTERM under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use sso_testkit::persona::Persona;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::site;

/// What became of one request on a connection of its own.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Nothing came back: the server had not taken the connection.
    Refused,
    /// The answer ends in its middle, or the request was read and got none.
    Cut,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_cuts_no_request_and_ends_with_0() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let login = format!(
        r#"{{"email":"{}","password":"{}"}}"#,
        alice.email, alice.password
    );
    let stopped = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (address, login) = (server.http_address, login.clone());
            let (stopped, answered) = (stopped.clone(), answered.clone());
            tokio::spawn(async move {
                loop {
                    let before = !stopped.load(Ordering::SeqCst);
                    match request(address, &login).await {
                        Fate::Answered => answered.fetch_add(1, Ordering::Relaxed),
                        Fate::Refused if !before => return Ok(()),
                        fate => anyhow::bail!("{fate:?}, sent before SIGTERM: {before}"),
                    };
                }
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stopped.store(true, Ordering::SeqCst);
    server.terminate()?;
    let status = server.wait(Duration::from_secs(10)).await?;
    assert_eq!(status.code(), Some(0));
    for client in clients {
        client.await??;
    }
    Ok(())
}

async fn request(address: std::net::SocketAddr, body: &str) -> Fate {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return Fate::Refused;
    };
    let request = format!(
        "POST /auth/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Fate::Refused;
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    match (read, answer.is_empty()) {
        // A reset before the first byte: it was in the backlog of the closed socket.
        (Err(_), true) => Fate::Refused,
        (Ok(_), false) if complete(&answer) => Fate::Answered,
        _ => Fate::Cut,
    }
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.starts_with("HTTP/1.1 200") && text.trim_end().ends_with('}')
}

#[tokio::test]
async fn while_draining_it_is_not_ready_but_answers() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__SHUTDOWN__DELAY", "2s");
    let mut server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    server.terminate()?;
    loop {
        let ready = server.http.get("/auth/ready", None).await?;
        if ready.status == 503 {
            assert_eq!(ready.text("state"), "draining");
            break;
        }
    }
    assert_eq!(alice.info().await?.status, 200);
    assert_eq!(server.wait(Duration::from_secs(10)).await?.code(), Some(0));
    Ok(())
}
