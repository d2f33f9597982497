//! Stands before a page of metrics and lets its second reader wait.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// It ends when this is dropped.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    answered: watch::Receiver<usize>,
    room: Arc<Semaphore>,
    _running: JoinSet<()>,
}

impl Relay {
    /// Answers one request, and the others when it may [go on](Self::go_on).
    pub(super) async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (count, answered) = watch::channel(0);
        let room = Arc::new(Semaphore::new(1));
        let permits = Arc::clone(&room);
        let mut running = JoinSet::new();
        running.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(permit) = permits.acquire().await else {
                    return;
                };
                permit.forget();
                if pass_on(stream, to).await.is_ok() {
                    count.send_modify(|count| *count += 1);
                }
            }
        });
        Ok(Self {
            address,
            answered,
            room,
            _running: running,
        })
    }

    pub(super) async fn answered(&mut self, times: usize) -> Result<()> {
        let enough = self.answered.wait_for(|count| *count >= times);
        let found = tokio::time::timeout(crate::kafka::LONG, enough).await;
        found.context("nobody asked")??;
        Ok(())
    }

    pub(super) fn go_on(&self) {
        self.room.add_permits(1000);
    }
}

/// One request of HTTP/1.0.
async fn pass_on(mut from: TcpStream, to: SocketAddr) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(from.read_u8().await?);
    }
    let mut upstream = TcpStream::connect(to).await?;
    upstream.write_all(&request).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    from.write_all(&answer).await?;
    from.shutdown().await?;
    Ok(())
}
