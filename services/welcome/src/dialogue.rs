//! Dialogues with the mail server (RFC 5321), each answer within its time.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lettre::{
    Message,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{SmtpConnection, Tls},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};

/// How long a connection may lie idle and be used again.
const IDLE: Duration = Duration::from_mins(1);

/// Where the server is, and who we are to it. Everything here blocks its thread.
pub(crate) struct Dialogues {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) credentials: Option<Credentials>,
    /// For each answer but the last.
    pub(crate) answer: Duration,
    /// For the answer to the text: filters run then, and a server that is given up at 31 s has the mail.
    pub(crate) text: Duration,
    /// At most as many as there are who send at once.
    pub(crate) idle: Mutex<Vec<(SmtpConnection, Instant)>>,
}

/// What a dialogue ended with.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Before a recipient was named: with the server, or with us as its client.
    Server(Error),
    /// With this mail.
    Mail(Error),
}

impl Dialogues {
    /// Sends a mail; its addresses and its text are ASCII. When this returns `Ok`, the server has said 250.
    pub(crate) fn send(&self, message: &Message) -> Result<(), Broken> {
        let mut connection = match self.idle() {
            Some(connection) => connection,
            None => self.open().map_err(Broken::Server)?,
        };
        let sent = self.say(&mut connection, message);
        // Also for goodbye, which need not wait as long as for the answer to the text.
        let is_usual = connection.set_timeout(Some(self.answer)).is_ok();
        if sent.is_ok() && is_usual {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, Instant::now()));
        } else {
            connection.abort();
        }
        sent
    }

    /// Ends those that are idle.
    pub(crate) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for (mut connection, _) in idle.drain(..) {
            connection.abort();
        }
    }

    /// One that still answers.
    fn idle(&self) -> Option<SmtpConnection> {
        loop {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut connection, since) = idle.pop()?;
            drop(idle);
            if since.elapsed() < IDLE && connection.test_connected() {
                return Some(connection);
            }
            connection.abort();
        }
    }

    fn open(&self) -> Result<SmtpConnection, Error> {
        let wrapped = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters),
            _ => None,
        };
        let (server, hello) = ((&*self.host, self.port), ClientId::default());
        let limit = Some(self.answer);
        let mut connection = SmtpConnection::connect(server, limit, &hello, wrapped, None)?;
        match &self.tls {
            Tls::Required(parameters) => connection.starttls(parameters, &hello)?,
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters, &hello)?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials)?;
        }
        Ok(connection)
    }

    fn say(&self, connection: &mut SmtpConnection, message: &Message) -> Result<(), Broken> {
        // Whom it is from is the same for all.
        let from = message.envelope().from().cloned();
        let begun = connection.command(Mail::new(from, Vec::new()));
        begun.map_err(Broken::Server)?;
        self.hand_over(connection, message).map_err(Broken::Mail)
    }

    fn hand_over(&self, connection: &mut SmtpConnection, message: &Message) -> Result<(), Error> {
        let envelope = message.envelope();
        for recipient in envelope.to() {
            connection.command(Rcpt::new(recipient.clone(), Vec::new()))?;
        }
        connection.command(Data)?;
        // If that fails the next word does.
        let _ = connection.set_timeout(Some(self.text));
        connection.message(&message.formatted())?;
        Ok(())
    }
}
