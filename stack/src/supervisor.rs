//! The process that everything belongs to.

use std::fs;

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    signal::unix::{SignalKind, signal},
};

use crate::{control, faults, system::System};

/// Starts everything, then answers until it is told to end.
pub(crate) async fn run() -> Result<()> {
    let mut system = System::start().await?;
    fs::create_dir_all(control::folder())?;
    let _ = fs::remove_file(control::socket());
    let listener = UnixListener::bind(control::socket())?;
    println!("{}", control::IS_READY);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut asked = None;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = terminate.recv() => break,
        };
        if let Ok(Some(waits)) = answer(stream, &mut system).await {
            asked = Some(waits);
            break;
        }
    }
    let _ = fs::remove_file(control::socket());
    let stopped = system.stop().await;
    // Whoever has asked for the end has read to the end of this.
    drop(asked);
    stopped
}

/// Answers one question. If that was to end, who has asked waits for the end of the stream.
async fn answer(stream: UnixStream, system: &mut System) -> Result<Option<OwnedWriteHalf>> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let (verb, word) = (words.next().unwrap_or_default(), words.next());
    let text = match verb {
        "status" => system.status().await,
        "json" => system.json().await.to_string(),
        "logs" => system.logs(word),
        "chaos" => match faults::cause(system, word.unwrap_or_default()).await {
            Ok(done) => done,
            Err(error) => format!("{error:#}"),
        },
        "down" => "everything has ended".to_owned(),
        other => format!("{other}: not understood"),
    };
    write.write_all(text.as_bytes()).await?;
    Ok((verb == "down").then_some(write))
}
