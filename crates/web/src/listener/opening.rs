//! What stands between accepting a connection and HTTP: the PROXY protocol and TLS.

use std::{io, net::IpAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
};

use super::proxy_protocol::{self, ProxyError};
use crate::tls::{ClientCertificate, Tls};

/// Enough for a header of the PROXY protocol; what follows it is read past the buffer.
const PROXY_BUFFER: usize = 256;

/// A connection's bytes, in clear.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection before HTTP.
pub(super) type Raw = BufReader<TcpStream>;

/// Why a connection did not get to HTTP.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    #[error("not within the time for a request's head")]
    Slow,
    #[error("others needed the room")]
    MadeRoom,
}

impl OpenError {
    /// The label of the metric.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Proxy(_) => "proxy_header",
            Self::Handshake(_) => "handshake",
            Self::Slow => "no_request",
            Self::MadeRoom => "made_room",
        }
    }
}

/// Wraps a socket whose proxy says first for whom it speaks, or not. Reads that are longer than the
/// buffer pass it by.
pub(super) fn raw(stream: TcpStream, proxied: bool) -> Raw {
    BufReader::with_capacity(if proxied { PROXY_BUFFER } else { 1 }, stream)
}

/// Reads for whom a trusted proxy speaks.
pub(super) async fn proxied(stream: &mut Raw) -> Result<Option<IpAddr>, OpenError> {
    Ok(proxy_protocol::read(stream).await?)
}

/// Does the handshake, if there is to be one.
pub(super) async fn secure(
    stream: Raw,
    tls: Option<&Tls>,
) -> Result<(Box<dyn Stream>, Option<ClientCertificate>), OpenError> {
    let Some(tls) = tls else {
        return Ok((Box::new(stream), None));
    };
    let accepted = tls.acceptor().accept(stream).await;
    let stream = accepted.map_err(OpenError::Handshake)?;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(ClientCertificate::of);
    Ok((Box::new(stream), certificate))
}
