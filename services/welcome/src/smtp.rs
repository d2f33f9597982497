//! The mail server.

use std::{
    error::Error as _,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use lettre::{
    Message,
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls as Mode, TlsParameters},
    },
};
use sso_service::{Exit, Failed};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tracing::{Span, field::Empty};

use crate::{
    config::Smtp,
    dialogue::{Broken, Dialogues},
    metrics,
    smtp_url::{SmtpUrl, Tls},
};

/// Sends messages, over a bounded number of connections, each with a thread: lettre's asynchronous client
/// bounds the time to connect and nothing after it, so that a server that falls silent holds it for ever.
pub(crate) struct Mailer {
    dialogues: Arc<Dialogues>,
    room: Arc<Semaphore>,
    /// What was wrong with the server when it was last used.
    trouble: Mutex<Option<String>>,
}

/// Why a mail was not taken. No personal data in it: servers like to repeat addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// The server is away, or does not talk to us: says nothing of the mail.
    Away(String),
    /// The same, but in the middle of the mail: it may be because of it.
    BrokenOff(String),
    /// 4xx: not now.
    NotNow(String),
    /// 5xx: never.
    Never(String),
}

impl NotSent {
    const fn word(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::BrokenOff(_) => "broken_off",
            Self::NotNow(_) => "not_now",
            Self::Never(_) => "never",
        }
    }
}

/// A place among those that talk to the server.
pub(crate) struct Room(
    #[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit,
);

impl Mailer {
    /// Makes it. Connects to nothing.
    pub(crate) fn new(settings: &Smtp) -> Result<Self, Failed> {
        let wrong = |why: String| Failed::new(Exit::Configuration, why);
        let url = settings.url.as_ref();
        let url = url.ok_or_else(|| wrong("smtp.url: must be set".to_owned()))?;
        let tls = tls(url, settings.tls_ca.as_deref()).map_err(wrong)?;
        let credentials = settings.username.clone().zip(settings.password.as_ref());
        let credentials = credentials
            .map(|(user, password)| Credentials::new(user, password.reveal().to_owned()));
        let dialogues = Dialogues {
            host: url.host.clone(),
            port: url.port,
            tls,
            credentials,
            answer: settings.timeout,
            text: settings.data_timeout,
            idle: Mutex::default(),
        };
        Ok(Self {
            dialogues: Arc::new(dialogues),
            room: Arc::new(Semaphore::new(
                usize::try_from(settings.max_connections).unwrap_or(1),
            )),
            trouble: Mutex::default(),
        })
    }

    /// Waits until one of the connections is free.
    pub(crate) async fn room(&self) -> Result<Room, NotSent> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        room.map(Room)
            .map_err(|_| NotSent::Away("it is closed".to_owned()))
    }

    /// Sends one; when this returns `Ok`, the server has said 250.
    pub(crate) async fn send(&self, message: Message, room: Room) -> Result<(), NotSent> {
        let (span, dialogues) = (self.span(), Arc::clone(&self.dialogues));
        let of_thread = span.clone();
        let sent = spawn_blocking(move || {
            // Until it is sent or not, also if nobody waits any more.
            let _room = room;
            of_thread.in_scope(|| dialogues.send(&message))
        });
        let not_sent = match sent.await {
            Ok(sent) => sent.err().map(|error| judge(&error)),
            Err(error) => Some(NotSent::Away(error.to_string())),
        };
        if let Some(why) = &not_sent {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", why.word());
        }
        let trouble = match &not_sent {
            Some(NotSent::Away(why) | NotSent::BrokenOff(why)) => Some(why.clone()),
            _ => None,
        };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        not_sent.map_or(Ok(()), Err)
    }

    /// Of one mail on its way. Whose it is and what it says are no part of it.
    fn span(&self) -> Span {
        tracing::info_span!(
            "smtp",
            otel.kind = "client",
            otel.name = "send mail",
            otel.status_code = Empty,
            network.protocol.name = "smtp",
            server.address = self.dialogues.host,
            server.port = self.dialogues.port,
            "error.type" = Empty,
        )
    }

    /// What was wrong with the server when it was last used.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says goodbye.
    pub(crate) async fn close(&self) {
        let dialogues = Arc::clone(&self.dialogues);
        let _ = spawn_blocking(move || dialogues.close()).await;
    }
}

fn tls(url: &SmtpUrl, ca: Option<&Path>) -> Result<Mode, String> {
    let parameters = || {
        let mut builder = TlsParameters::builder(url.host.clone());
        if let Some(file) = ca {
            let wrong =
                |why: &dyn std::fmt::Display| format!("smtp.tls_ca: {}: {why}", file.display());
            let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(&error))?;
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(certificate);
        }
        builder
            .build()
            .map_err(|error| format!("smtp.url: {error}"))
    };
    Ok(match url.tls {
        Tls::Wrapped => Mode::Wrapper(parameters()?),
        Tls::Required => Mode::Required(parameters()?),
        Tls::Opportunistic => Mode::Opportunistic(parameters()?),
        Tls::None => Mode::None,
    })
}

/// What the operating system, or TLS beneath it, has said.
fn cause(error: &smtp::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        source = error.source();
    }
    None
}

/// A socket whose time is over says that it would block.
fn is_timeout(error: &smtp::Error) -> bool {
    let kind = cause(error).map(io::Error::kind);
    matches!(
        kind,
        Some(io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
    )
}

/// The handshake is part of the first word, so that what is wrong with it comes as an error of that.
fn is_of_tls(error: &smtp::Error) -> bool {
    let inner = cause(error).and_then(io::Error::get_ref);
    error.is_tls() || matches!(inner, Some(inner) if inner.is::<rustls::Error>())
}

/// What an error says of the mail, and of the server.
fn judge(broken: &Broken) -> NotSent {
    let (Broken::Server(error) | Broken::Mail(error)) = broken;
    let of_server = |why: String| match broken {
        Broken::Server(_) => NotSent::Away(why),
        Broken::Mail(_) => NotSent::BrokenOff(why),
    };
    let Some(code) = error.status() else {
        metrics::failure("unreachable");
        let kind = if is_of_tls(error) {
            "its TLS cannot be trusted"
        } else if is_timeout(error) {
            "it does not answer in time"
        } else {
            "it cannot be reached or breaks off"
        };
        return of_server(format!("{kind}: {}", sso_service::exit::sentence(error)));
    };
    let code: u16 = code.into();
    match code {
        // RFC 4954, section 6: of us, not of the mail.
        432 | 454 | 530 | 534 | 535 | 538 => {
            metrics::failure("account");
            of_server(format!("it does not accept our account ({code})"))
        }
        // RFC 5321, section 3.8: it is about to close.
        421 => {
            metrics::failure("unreachable");
            of_server(format!("it is closing ({code})"))
        }
        _ if matches!(broken, Broken::Server(_)) => {
            metrics::failure("account");
            of_server(format!("it does not let us send ({code})"))
        }
        400..=499 => {
            metrics::failure("temporary");
            NotSent::NotNow(format!("the mail server says not now ({code})"))
        }
        _ => {
            metrics::failure("permanent");
            NotSent::Never(format!(
                "the mail server refuses the mail for good ({code})"
            ))
        }
    }
}
