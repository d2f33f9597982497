//! A network that can be cut, frozen and slowed down.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime,
    sync::{mpsc, watch},
    time::Instant,
};

use super::ports::Port;

/// How many pieces of up to [`PIECE`] bytes are on their way in one direction: what a sender can
/// get rid of while the network is frozen or slow, beside the kernel's buffers.
const UNDER_WAY: usize = 1_024;
const PIECE: usize = 16 * 1_024;

/// A TCP proxy on a loopback port, on a thread of its own, so that a busy or blocked test does not
/// slow it down. Who connects to it reaches the target, as far as the network permits.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    state: watch::Sender<Network>,
    thread: Option<JoinHandle<()>>,
}

/// What the network does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    target: SocketAddr,
    /// Connections are reset, new ones too. The generation tells a cut from the one before.
    cut: bool,
    generation: u64,
    /// Nothing passes from the client to the server.
    questions_held: bool,
    /// Nothing passes from the server to the client.
    answers_held: bool,
    /// How much later everything arrives.
    delay: Duration,
    /// The proxy is dropped.
    ended: bool,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`, which need not be there yet.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let port = Port::free()?;
        let (state, network) = watch::channel(Network {
            target,
            cut: false,
            generation: 0,
            questions_held: false,
            answers_held: false,
            delay: Duration::ZERO,
            ended: false,
        });
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(port.address())?;
        listener.set_nonblocking(true)?;
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(accept(listener, network)))?;
        Ok(Self {
            port,
            state,
            thread: Some(thread),
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where new connections lead from now on.
    pub fn set_target(&self, target: SocketAddr) {
        self.state.send_modify(|network| network.target = target);
    }

    /// Resets every connection, and every new one at once, until [`Self::mend`]. What was under way
    /// is lost.
    pub fn cut(&self) {
        self.state.send_modify(|network| {
            network.cut = true;
            network.generation += 1;
        });
    }

    /// Resets every connection; new ones are fine.
    pub fn reset(&self) {
        self.state.send_modify(|network| network.generation += 1);
    }

    /// Nothing passes in either direction, connections stay open and new ones are taken: packets
    /// are lost. Until [`Self::mend`], when all of it arrives.
    pub fn freeze(&self) {
        self.state.send_modify(|network| {
            network.questions_held = true;
            network.answers_held = true;
        });
    }

    /// The server hears the clients, who do not hear it, until [`Self::mend`]: to freeze an answer
    /// that is under way.
    pub fn freeze_answers(&self) {
        self.state
            .send_modify(|network| network.answers_held = true);
    }

    /// Everything arrives so much later in each direction, connecting excepted.
    pub fn delay(&self, by: Duration) {
        self.state.send_modify(|network| network.delay = by);
    }

    /// The network is as it was at the start.
    pub fn mend(&self) {
        self.state.send_modify(|network| {
            network.cut = false;
            network.questions_held = false;
            network.answers_held = false;
            network.delay = Duration::ZERO;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.send_modify(|network| network.ended = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, network: watch::Receiver<Network>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut end = network.clone();
    loop {
        tokio::select! {
            _ = end.wait_for(|network| network.ended) => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                tokio::spawn(connection(client, network.clone()));
            }
        }
    }
}

/// Passes on one connection until it ends or the network is cut.
async fn connection(client: TcpStream, mut network: watch::Receiver<Network>) {
    // Ends by a reset, not in an orderly way, whatever happens.
    let _ = client.set_zero_linger();
    let now = *network.borrow_and_update();
    if now.cut {
        return;
    }
    let mut later = network.clone();
    tokio::select! {
        _ = later.wait_for(|later| later.generation != now.generation) => {}
        _ = pass(client, now.target, network) => {}
    }
}

async fn pass(
    client: TcpStream,
    target: SocketAddr,
    mut network: watch::Receiver<Network>,
) -> Result<()> {
    // A frozen network connects to nobody, but the kernel has taken the client's connection.
    network.wait_for(|network| !network.questions_held).await?;
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let server = socket.connect(target).await.context("nobody is there")?;
    let _ = server.set_zero_linger();
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let questions = flow(from_client, to_server, network.clone(), |network| {
        network.questions_held
    });
    let answers = flow(from_server, to_client, network, |network| {
        network.answers_held
    });
    tokio::try_join!(questions, answers)?;
    Ok(())
}

/// One direction of a connection: what is read gets a time of arrival, and is written then.
async fn flow(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    held: fn(&Network) -> bool,
) -> Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let delay = network.clone();
    let read = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok::<_, anyhow::Error>(());
            }
            piece.truncate(length);
            let arrival = Instant::now() + delay.borrow().delay;
            sender.send((arrival, piece)).await?;
        }
    };
    let write = async move {
        while let Some((arrival, piece)) = receiver.recv().await {
            tokio::time::sleep_until(arrival).await;
            network.wait_for(|network| !held(network)).await?;
            to.write_all(&piece).await?;
        }
        network.wait_for(|network| !held(network)).await?;
        Ok::<_, anyhow::Error>(to.shutdown().await?)
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
