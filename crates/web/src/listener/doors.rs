//! The way from a socket to HTTP.

use std::{net::IpAddr, sync::Arc};

use tokio::net::TcpStream;

use super::{
    connection::{Driver, FAREWELL, Peer},
    dropped,
    opening::{self, OpenError, Stream},
    room::{Guest, Room},
};
use crate::tls::Tls;

/// What stands before HTTP.
pub(super) struct Doors {
    pub(super) driver: Driver,
    pub(super) room: Arc<Room>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) proxy_protocol: bool,
}

/// A connection that may speak HTTP.
type Opened = (Box<dyn Stream>, Peer, Arc<Guest>);

impl Doors {
    /// A place for a connection of `address`, unless it has too many that are all busy.
    async fn enter(&self, address: IpAddr) -> Option<Guest> {
        let host = self.driver.proxies.contains(address);
        let guest = self.room.wait(address, host, FAREWELL).await;
        if guest.is_none() {
            dropped(self.driver.name, "address_full");
            tracing::debug!("a connection too many of one address was closed");
        }
        guest
    }

    /// Serves a connection from its first byte to its last.
    pub(super) async fn welcome(&self, stream: TcpStream, address: IpAddr) {
        let patience = self.driver.limits.header_timeout;
        let opened = tokio::select! {
            opened = tokio::time::timeout(patience, self.open(stream, address)) => opened,
            () = self.driver.cut.cancelled() => return,
        };
        match opened {
            Ok(Ok(Some((stream, peer, guest)))) => self.driver.drive(stream, peer, guest).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => self.not_opened(&error),
            Err(_) => self.not_opened(&OpenError::Slow),
        }
    }

    /// `None`: there was no place.
    async fn open(&self, stream: TcpStream, address: IpAddr) -> Result<Option<Opened>, OpenError> {
        let Some(mut guest) = self.enter(address).await else {
            return Ok(None);
        };
        let proxied = self.proxy_protocol && self.driver.proxies.contains(address);
        let mut address = address;
        let mut stream = opening::raw(stream, proxied);
        if proxied && let Some(client) = or_leave(&guest, opening::proxied(&mut stream)).await? {
            // The proxy has as many as it likes, those behind it do not.
            drop(guest);
            let Some(again) = self.enter(client).await else {
                return Ok(None);
            };
            (address, guest) = (client, again);
        }
        let secured = or_leave(&guest, opening::secure(stream, self.tls.as_deref()));
        let (stream, certificate) = secured.await?;
        let peer = Peer {
            address,
            certificate,
        };
        Ok(Some((stream, peer, Arc::new(guest))))
    }

    fn not_opened(&self, error: &OpenError) {
        tracing::debug!(%error, listener = self.driver.name, "a connection did not open");
        dropped(self.driver.name, error.reason());
    }
}

/// Somebody who has not even said what he wants makes room first.
async fn or_leave<T>(
    guest: &Guest,
    step: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    tokio::select! {
        done = step => done,
        () = guest.asked_to_leave() => Err(OpenError::MadeRoom),
    }
}
