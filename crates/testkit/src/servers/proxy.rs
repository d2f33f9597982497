//! A network that can be cut, frozen and slowed down.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
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
    // None only while it is dropped: the thread ends when the sender is gone.
    state: Option<watch::Sender<Network>>,
    connected: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// What the network does at the moment.
#[derive(Debug, Clone)]
struct Network {
    /// Each new connection leads to the next one.
    targets: Vec<SocketAddr>,
    /// New connections are reset.
    cut: bool,
    /// Goes up when those that are there are reset.
    generation: u64,
    held: Held,
    /// How much later everything arrives.
    delay: Duration,
}

/// What does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    Answers,
    Everything,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`, which need not be there yet.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let port = Port::free()?;
        let (state, network) = watch::channel(Network {
            targets: vec![target],
            cut: false,
            generation: 0,
            held: Held::Nothing,
            delay: Duration::ZERO,
        });
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connected = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connected);
        let listener = std::net::TcpListener::bind(port.address())?;
        listener.set_nonblocking(true)?;
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(accept(listener, network, &count)))?;
        Ok(Self {
            port,
            state: Some(state),
            connected,
            thread: Some(thread),
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// How many connections were made to it so far, those included that were reset at once.
    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Where new connections lead from now on.
    pub fn set_target(&self, target: SocketAddr) {
        self.set_targets(&[target]);
    }

    /// Where new connections lead from now on, to one after the other: a balancer. Nobody is
    /// connected while there is none.
    pub fn set_targets(&self, targets: &[SocketAddr]) {
        self.change(|network| network.targets = targets.to_vec());
    }

    /// Resets every connection, and every new one at once, until [`Self::mend`]. What was under way
    /// is lost.
    pub fn cut(&self) {
        self.change(|network| {
            network.cut = true;
            network.generation += 1;
        });
    }

    /// Resets every connection; new ones are fine.
    pub fn reset(&self) {
        self.change(|network| network.generation += 1);
    }

    /// Nothing passes in either direction, connections stay open and new ones are taken: packets
    /// are lost. Until [`Self::mend`], when all of it arrives.
    pub fn freeze(&self) {
        self.change(|network| network.held = Held::Everything);
    }

    /// The server hears the clients, who do not hear it, until [`Self::mend`]: to freeze an answer
    /// that is under way.
    pub fn freeze_answers(&self) {
        self.change(|network| network.held = Held::Answers);
    }

    /// Everything arrives so much later in each direction, connecting excepted.
    pub fn delay(&self, by: Duration) {
        self.change(|network| network.delay = by);
    }

    /// The network is as it was at the start.
    pub fn mend(&self) {
        self.change(|network| {
            network.cut = false;
            network.held = Held::Nothing;
            network.delay = Duration::ZERO;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Network)) {
        if let Some(state) = &self.state {
            state.send_modify(change);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.state.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    network: watch::Receiver<Network>,
    connected: &AtomicU64,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut end = network.clone();
    loop {
        tokio::select! {
            _ = end.wait_for(|_| false) => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let turn = connected.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(client, turn, network.clone()));
            }
        }
    }
}

/// Passes on one connection until it ends or the network is cut.
async fn connection(mut client: TcpStream, turn: u64, mut network: watch::Receiver<Network>) {
    let now = network.borrow_and_update().clone();
    let target = usize::try_from(turn).ok().and_then(|turn| {
        let at = turn.checked_rem(now.targets.len())?;
        now.targets.get(at).copied()
    });
    let Some(target) = target.filter(|_| !now.cut) else {
        let _ = client.set_zero_linger();
        return;
    };
    let mut later = network.clone();
    let mut server = None;
    let orderly = tokio::select! {
        _ = later.wait_for(|later| later.generation != now.generation) => false,
        passed = pass(&mut client, &mut server, target, network) => passed.is_ok(),
    };
    if !orderly {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            // Closed by a reset. What is under way is lost.
            let _ = stream.set_zero_linger();
        }
    }
}

async fn pass(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    target: SocketAddr,
    mut network: watch::Receiver<Network>,
) -> Result<()> {
    // A frozen network connects to nobody, but the kernel has taken the client's connection.
    network
        .wait_for(|network| network.held != Held::Everything)
        .await?;
    let server = server.insert(TcpStream::connect(target).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let questions = flow(from_client, to_server, network.clone(), |network| {
        network.held == Held::Everything
    });
    let answers = flow(from_server, to_client, network, |network| {
        network.held != Held::Nothing
    });
    tokio::try_join!(questions, answers)?;
    Ok(())
}

/// One direction of a connection: what is read gets a time of arrival, and is written then.
async fn flow(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
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
