//! A way to a server that can be shut, or grow long.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Nothing goes through, and nobody is told.
    Shut,
    /// Each piece waits for as long, so that all come later and later.
    Dragging(Duration),
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

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) {
    let mut piece = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let Ok(way) = way.wait_for(|way| *way != Way::Shut).await.map(|way| *way) else {
            return;
        };
        if let Way::Dragging(pause) = way {
            tokio::time::sleep(pause).await;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
