//! A mail server that keeps what it is given, and fails where a test wants it to.

mod session;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpListener, runtime, sync::watch};
use tokio_rustls::TlsAcceptor;

use super::{ports::Port, wait::LIMIT};
use crate::pki::Issued;

/// An SMTP server on a loopback port, on a thread of its own. It takes every mail, except:
///
/// | recipient | what happens |
/// |---|---|
/// | `tempfail@..` | 451, try again later |
/// | `unknown@..` | 550, no such user |
/// | `full@..` | 552, mailbox full |
/// | `slow@..` | taken after 5 seconds, or what [`Options::slow`] says |
/// | `dropped@..` | the connection ends |
///
/// For a network that fails, put a [`Proxy`](super::Proxy) before it.
#[derive(Debug)]
pub struct SmtpSink {
    port: Port,
    shared: Arc<Shared>,
    // None only while it is dropped: the thread ends when the sender is gone.
    alive: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A mail that was taken.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The envelope's sender; empty for a bounce.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Headers and body as they came, lines ended by `\r\n`, encodings not undone.
    pub text: String,
    /// Who sent it, if the client authenticated.
    pub user: Option<String>,
    /// Whether it came by TLS.
    pub secure: bool,
}

impl Mail {
    /// The first header of this name, unfolded; `""` if there is none.
    pub fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let found = unfolded.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    }
}

/// How the server is set up.
#[derive(Clone)]
pub struct Options {
    security: Security,
    account: Option<(String, String)>,
    slow: Duration,
}

#[derive(Clone)]
enum Security {
    None,
    StartTls(TlsAcceptor),
    Tls(TlsAcceptor),
}

/// What sessions share.
struct Shared {
    options: Options,
    mails: watch::Sender<Vec<Mail>>,
    failing: AtomicU32,
    refuses_senders: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            security: Security::None,
            account: None,
            slow: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// In clear, for anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers STARTTLS and takes no mail without it.
    pub fn starttls(mut self, server: &Issued) -> Result<Self> {
        self.security = Security::StartTls(acceptor(server)?);
        Ok(self)
    }

    /// TLS from the first byte (`smtps`).
    pub fn tls(mut self, server: &Issued) -> Result<Self> {
        self.security = Security::Tls(acceptor(server)?);
        Ok(self)
    }

    /// Takes mail only from who knows this password (AUTH PLAIN or LOGIN).
    #[must_use]
    pub fn account(mut self, user: &str, password: &str) -> Self {
        self.account = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// How long `slow@..` takes.
    #[must_use]
    pub fn slow(mut self, by: Duration) -> Self {
        self.slow = by;
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<SmtpSink> {
        let port = Port::free()?;
        let listener = std::net::TcpListener::bind(port.address())?;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            options: self,
            mails: watch::Sender::new(Vec::new()),
            failing: AtomicU32::new(0),
            refuses_senders: AtomicBool::new(false),
        });
        let (alive, end) = watch::channel(());
        let sessions = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("smtp".to_owned())
            .spawn(move || runtime.block_on(accept(listener, sessions, end)))?;
        Ok(SmtpSink {
            port,
            shared,
            alive: Some(alive),
            thread: Some(thread),
        })
    }
}

impl SmtpSink {
    /// In clear, for anybody.
    pub fn start() -> Result<Self> {
        Options::new().start()
    }

    /// Its loopback address.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What was taken so far, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails.borrow().clone()
    }

    /// To whom it went, one for each mail and recipient; of very many mails the texts are not copied.
    pub fn recipients(&self) -> Vec<String> {
        let mails = self.shared.mails.borrow();
        mails.iter().flat_map(|mail| mail.to.clone()).collect()
    }

    /// Waits until so many were taken; all of them.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Mail>> {
        let mut mails = self.shared.mails.subscribe();
        let waited = tokio::time::timeout(LIMIT, mails.wait_for(|mails| mails.len() >= count));
        let mails = waited.await.with_context(|| {
            let taken = self.shared.mails.borrow().len();
            format!("{taken} mails of {count} came within {LIMIT:?}")
        })??;
        Ok(mails.clone())
    }

    /// Whether whoever sends may not send as whom he says (553).
    pub fn refuse_senders(&self, refuse: bool) {
        self.shared.refuses_senders.store(refuse, Ordering::SeqCst);
    }

    /// The next mails, so many, are refused with 451 after their text was sent.
    pub fn fail_next(&self, count: u32) {
        self.shared.failing.store(count, Ordering::SeqCst);
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Whether this mail is one of those that [`SmtpSink::fail_next`] meant.
    fn fails(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.failing
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }
}

async fn accept(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut end: watch::Receiver<()>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        tokio::select! {
            _ = end.changed() => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                // A client that goes away ends its session.
                let session = session::serve(client, Arc::clone(&shared));
                tokio::spawn(async move { session.await.ok() });
            }
        }
    }
}

fn acceptor(server: &Issued) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(server.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
