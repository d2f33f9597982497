//! A proxy that counts round trips: how often a client spoke after it had been answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Counts for as long as the runtime lives.
pub(super) struct Counting {
    pub(super) address: SocketAddr,
    trips: Arc<AtomicU64>,
}

impl Counting {
    pub(super) async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, trips) = (listener.local_addr()?, Arc::<AtomicU64>::default());
        let counter = Arc::clone(&trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move { pass(client, target, counter).await });
            }
        });
        Ok(Self { address, trips })
    }

    pub(super) fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }
}

async fn pass(client: TcpStream, target: SocketAddr, trips: Arc<AtomicU64>) -> Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // What a client sends without having been answered in between is one way there.
    let answered = Arc::new(AtomicBool::new(true));
    let heard = Arc::clone(&answered);
    let there = copy(from_client, to_server, || {
        if answered.swap(false, Ordering::AcqRel) {
            trips.fetch_add(1, Ordering::Relaxed);
        }
    });
    let back = copy(from_server, to_client, || {
        heard.store(true, Ordering::Release)
    });
    // One end that is gone ends both.
    tokio::select! { done = there => done, done = back => done }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    seen: impl Fn(),
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        seen();
        to.write_all(&buffer[..count]).await?;
    }
}
