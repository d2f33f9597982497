//! Dialogues with the mail server (RFC 5321), each answer within its time.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
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
/// How long one that lay idle may take to say that it is there. A firewall may have dropped it and said
/// nothing, and a mail waits: another connection is soon made.
const PROOF: Duration = Duration::from_secs(5);
/// How long goodbye may take. Nobody waits for what is said to it.
const GOODBYE: Duration = Duration::from_millis(100);

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
    /// At most as many as there are who send at once; the latest last.
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
        if sent.is_ok() {
            self.lock().push((connection, Instant::now()));
        } else {
            part(&mut connection);
        }
        sent
    }

    /// Ends those that are idle.
    pub(crate) fn close(&self) {
        let idle = mem::take(&mut *self.lock());
        for (mut connection, _) in idle {
            part(&mut connection);
        }
    }

    /// The latest, if it still answers. If not, the others, idle for longer, are not asked: each might be
    /// waited for.
    fn idle(&self) -> Option<SmtpConnection> {
        let (mut connection, since) = self.lock().pop()?;
        if since.elapsed() < IDLE && self.is_there(&mut connection) {
            return Some(connection);
        }
        part(&mut connection);
        // Without a goodbye: somebody waits.
        drop(mem::take(&mut *self.lock()));
        None
    }

    /// Whether it answers soon. Then it has its usual time again, which the answer to a text has changed.
    fn is_there(&self, connection: &mut SmtpConnection) -> bool {
        let proof = self.answer.min(PROOF);
        connection.set_timeout(Some(proof)).is_ok()
            && connection.test_connected()
            && connection.set_timeout(Some(self.answer)).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(SmtpConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Says goodbye, also to who may not be there any more.
fn part(connection: &mut SmtpConnection) {
    if connection.set_timeout(Some(GOODBYE)).is_ok() {
        connection.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;

    const CONNECTIONS: usize = 8;

    /// A server that greets and is not heard of any more, as behind a firewall that has forgotten the
    /// connection.
    fn silent() -> Dialogues {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut held = Vec::new();
            for client in listener.incoming() {
                held.push(greet(client.unwrap()));
            }
        });
        Dialogues {
            host: "127.0.0.1".to_owned(),
            port,
            tls: Tls::None,
            credentials: None,
            answer: Duration::from_secs(2),
            text: Duration::from_secs(2),
            idle: Mutex::default(),
        }
    }

    fn greet(mut client: TcpStream) -> TcpStream {
        client.write_all(b"220 here\r\n").unwrap();
        let mut hello = String::new();
        let mut reader = BufReader::new(client.try_clone().unwrap());
        reader.read_line(&mut hello).unwrap();
        client.write_all(b"250 here\r\n").unwrap();
        client
    }

    /// How long it takes to find that none of them is of use.
    fn found_useless(since: Instant) -> Duration {
        let dialogues = silent();
        for _ in 0..CONNECTIONS {
            let connection = dialogues.open().unwrap();
            dialogues.lock().push((connection, since));
        }
        let started = Instant::now();
        assert!(dialogues.idle().is_none());
        assert!(dialogues.lock().is_empty());
        started.elapsed()
    }

    #[test]
    fn connections_that_lay_idle_for_too_long_are_left_without_waiting_for_them() {
        let long_ago = Instant::now().checked_sub(IDLE * 2).unwrap();
        let took = found_useless(long_ago);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[test]
    fn of_connections_that_are_dropped_silently_one_is_waited_for() {
        let took = found_useless(Instant::now());
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}
