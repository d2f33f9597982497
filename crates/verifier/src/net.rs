//! Connections, in clear or over TLS, for keys and for calls.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

/// For a connection, TLS included.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);
/// Messages of a stream that are read ahead, in bytes: more would only grow old.
const WINDOW: u32 = 128 * 1024;
/// Calls that wait for one connection. There are fewer: questions are counted before.
const BUFFER: usize = 128;

/// Where a service is: scheme, host and port.
#[derive(Clone)]
pub(crate) struct Address {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// An address that cannot be used, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAddress {
    #[error("it is no http:// or https:// address with a host")]
    Malformed,
    #[error("it holds a user name or a password, or a query")]
    TooMuch,
    #[error("it is in clear and not on this machine: use https://, or say allow_clear_text()")]
    Clear,
}

/// What connections are made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) tls: &'a Arc<ClientConfig>,
    /// Protocols of ALPN (RFC 7301), best first.
    pub(crate) alpn: &'static [u8],
    pub(crate) allow_clear: bool,
}

impl Address {
    pub(crate) fn parse(text: &str, means: Means<'_>) -> Result<Self, BadAddress> {
        let uri: Uri = text.parse().map_err(|_| BadAddress::Malformed)?;
        let authority = uri.authority().ok_or(BadAddress::Malformed)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(BadAddress::TooMuch);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (tls, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(BadAddress::Malformed),
        };
        if host.is_empty() {
            return Err(BadAddress::Malformed);
        }
        if !tls && !means.allow_clear && !is_this_machine(&host) {
            return Err(BadAddress::Clear);
        }
        let port = authority.port_u16().unwrap_or(default_port);
        let tls = if tls {
            let name = ServerName::try_from(host.clone()).map_err(|_| BadAddress::Malformed)?;
            let mut config = ClientConfig::clone(means.tls);
            config.alpn_protocols = vec![means.alpn.to_vec()];
            let config = Arc::new(config);
            Some(Tls { name, config })
        } else {
            None
        };
        Ok(Self {
            uri,
            host,
            port,
            tls,
        })
    }

    async fn connect(&self) -> io::Result<Stream> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Stream::Clear(tcp)),
            Some(Tls { name, config }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), tcp).await?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }

    /// `GET`, once, at most `limit` bytes: the `max-age` of the answer and its body.
    pub(crate) async fn get(&self, limit: usize) -> Result<(Option<Duration>, Bytes), GetError> {
        let stream = timeout(CONNECT, self.connect()).await;
        let stream = stream.map_err(|_| GetError::NoConnection(io::ErrorKind::TimedOut.into()))?;
        let io = TokioIo::new(stream.map_err(GetError::NoConnection)?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let exchange = async {
            let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
            let authority = self.uri.authority().map_or("", |known| known.as_str());
            let request = Request::get(path)
                .header(header::HOST, authority)
                .header(header::ACCEPT, "application/json")
                .body(Empty::<Bytes>::new())?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            if head.status != StatusCode::OK {
                return Err(GetError::Status(head.status));
            }
            let body = Limited::new(body, limit).collect().await;
            let body = body.map_err(|_| GetError::Cut)?.to_bytes();
            let cache = head.headers.get(header::CACHE_CONTROL);
            Ok((cache.and_then(|value| max_age(value.to_str().ok()?)), body))
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        tokio::select! {
            got = &mut exchange => got,
            // With its last word, after which a server may close: `exchange` has not read that yet.
            ended = &mut connection => match (exchange.await, ended) {
                (Err(GetError::Cut | GetError::Http(_)), Err(error)) => Err(error.into()),
                (got, _) => got,
            },
        }
    }

    fn endpoint(&self) -> Endpoint {
        // A scheme that tonic would make TLS of is told to the other side alone.
        let origin = self.uri.clone();
        Endpoint::from_static("http://service")
            .origin(origin)
            .initial_stream_window_size(WINDOW)
            .buffer_size(BUFFER)
    }

    /// A connection that exists.
    pub(crate) async fn open(&self) -> Result<Channel, NoChannel> {
        let endpoint = self.endpoint();
        let connected = endpoint.connect_with_connector(self.connector());
        match timeout(CONNECT, connected).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(NoChannel(deepest(&error))),
            Err(_) => Err(NoChannel(format!("no connection within {CONNECT:?}"))),
        }
    }

    /// A connection that is made when it is needed, and again when it is lost.
    pub(crate) fn lazy(&self) -> Channel {
        self.endpoint()
            .connect_with_connector_lazy(self.connector())
    }

    fn connector(
        &self,
    ) -> impl tower::Service<
        Uri,
        Response = TokioIo<Stream>,
        Error = io::Error,
        Future = impl Future<Output = io::Result<TokioIo<Stream>>> + Send,
    > + Send
    + 'static {
        let address = self.clone();
        tower::service_fn(move |_: Uri| {
            let address = address.clone();
            async move {
                let connected = timeout(CONNECT, address.connect()).await;
                let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
                Ok(TokioIo::new(stream))
            }
        })
    }
}

/// As it was written, for logs.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoChannel(String);

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    #[error("no connection: {0}")]
    NoConnection(io::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("its answer is cut off or too long")]
    Cut,
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Request(#[from] http::Error),
}

/// The innermost cause is the one that helps.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `max-age` of Cache-Control (RFC 9111, 5.2.2.1).
fn max_age(value: &str) -> Option<Duration> {
    let mut directives = value.split(',').map(str::trim);
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// A connection.
pub(crate) enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn parse(text: &str, allow_clear: bool) -> Result<Address, BadAddress> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Address::parse(
            text,
            Means {
                tls: &Arc::new(config),
                alpn: b"h2",
                allow_clear,
            },
        )
    }

    #[test]
    fn clear_text_leaves_this_machine_only_where_that_is_said() {
        for local in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:2/x"] {
            assert!(parse(local, false).is_ok(), "{local}");
        }
        for far in ["http://sso.internal", "http://10.0.0.1:44044"] {
            assert_eq!(parse(far, false).unwrap_err(), BadAddress::Clear, "{far}");
            assert!(parse(far, true).is_ok(), "{far}");
        }
        assert!(parse("https://sso.internal:44044", false).is_ok());
    }

    /// As balancers do, and instances of sso that are draining.
    #[tokio::test]
    async fn an_answer_after_which_the_server_closes_is_read() {
        for head in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 11\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n",
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/keys", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = [0; 1024];
                assert!(stream.read(&mut question).await.unwrap() > 0);
                let answer = format!("{head}{{\"keys\":[]}}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
            let (_, body) = parse(&url, false).unwrap().get(1000).await.unwrap();
            assert_eq!(body, "{\"keys\":[]}", "{head}");
            server.await.unwrap();
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "sso", "ftp://sso", "https://", "/keys", "https:///x"] {
            assert_eq!(
                parse(bad, true).unwrap_err(),
                BadAddress::Malformed,
                "{bad}"
            );
        }
        for bad in ["https://me:secret@sso", "https://sso/?a=b"] {
            assert_eq!(parse(bad, true).unwrap_err(), BadAddress::TooMuch, "{bad}");
        }
    }

    #[test]
    fn max_age_is_read_wherever_it_stands() {
        assert_eq!(max_age("public, max-age=300"), Some(Duration::from_mins(5)));
        assert_eq!(max_age("max-age=0"), Some(Duration::ZERO));
        for none in ["no-store", "s-maxage=5", "max-age=x", ""] {
            assert_eq!(max_age(none), None, "{none}");
        }
    }
}
