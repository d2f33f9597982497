//! A way to a server that can be shut, or grow long.

use std::{net::SocketAddr, time::Instant};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Nothing goes through, and nobody is told.
    Shut,
    /// Bytes are under way for half as long as it has been so: all come later and later, and none
    /// is lost.
    Dragging(Instant),
}

/// Forwards TCP.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    way: watch::Sender<Way>,
    forwarding: JoinHandle<()>,
}

impl Gate {
    pub(super) async fn before(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (way, seen) = watch::channel(Way::Open);
        let forwarding = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(server).await else {
                        return;
                    };
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    tokio::select! {
                        () = forward(near_in, far_out, seen.clone()) => {}
                        () = forward(far_in, near_out, seen) => {}
                    }
                });
            }
        });
        Ok(Self {
            address,
            way,
            forwarding,
        })
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

/// Reads as it comes, and writes when it is time.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) {
    let (pieces, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async move {
        let mut piece = vec![0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            if pieces
                .send((Instant::now(), piece[..read].to_vec()))
                .is_err()
            {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((came, piece)) = due.recv().await {
            let open = way.wait_for(|way| *way != Way::Shut).await;
            let Ok(way) = open.map(|way| *way) else {
                return;
            };
            if let Way::Dragging(since) = way {
                let under_way = came.saturating_duration_since(since) / 2;
                let left = under_way.saturating_sub(came.elapsed());
                tokio::time::sleep(left).await;
            }
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
