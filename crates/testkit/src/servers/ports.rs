//! Loopback ports that no other test takes.

use std::{
    net::{Ipv4Addr, SocketAddr as InetAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener},
    },
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Result, bail};

/// Below 32768, from where the kernel takes the ports of outgoing connections.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A loopback port that is ours for as long as this lives, also while its server is down.
#[derive(Debug)]
pub struct Port {
    number: u16,
    // Its name, in the kernel's namespace, says to other test processes that the port is taken; it
    // ends with the process that holds it.
    _claim: UnixListener,
}

impl Port {
    /// One that is free and that nobody else claims.
    pub fn free() -> Result<Self> {
        static TRIED: AtomicU16 = AtomicU16::new(0);
        let start = process::id() % u32::from(COUNT);
        for _ in 0..COUNT {
            let step = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
            // A prime step scatters the processes over the range.
            let offset = (start * 331 + step) % u32::from(COUNT);
            let number = FIRST + u16::try_from(offset)?;
            let name = UnixAddr::from_abstract_name(format!("sso-testkit-port-{number}"))?;
            let Ok(claim) = UnixListener::bind_addr(&name) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _claim: claim,
                });
            }
        }
        bail!("no free port between {FIRST} and {}", FIRST + COUNT)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its loopback address.
    pub fn address(&self) -> InetAddr {
        InetAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// Starts something that chooses its ports; does so again if somebody was faster.
pub(super) async fn with_fresh_ports<T, F>(mut start: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempts = 3;
    loop {
        attempts -= 1;
        match start().await {
            Err(error) if attempts > 0 && taken(&error) => {}
            done => return done,
        }
    }
}

/// Errors show the end of the server's log; this is what each of them writes there.
fn taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    text.contains("address already in use") || text.contains("cannot bind socket")
}
