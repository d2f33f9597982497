//! A session of SMTP (RFC 5321), with STARTTLS (RFC 3207) and AUTH (RFC 4954).

use std::sync::{Arc, atomic::Ordering};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{Mail, Security, Shared};

/// Longer lines end the session: RFC 5321 allows 1,000 bytes, AUTH more.
const LINE: u64 = 16 * 1024;

/// A mail of more bytes is refused.
const MAIL: usize = 1024 * 1024;

/// More mails are refused. An hour of faults sends 120,000, of 2 KB each.
const MAILS: usize = 1_000_000;

/// What a client may send.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves one client to the end.
pub(super) async fn serve(client: TcpStream, shared: Arc<Shared>) -> Result<()> {
    match shared.options.security.clone() {
        Security::None => greet(client, shared, false).await,
        Security::Tls(acceptor) => greet(acceptor.accept(client).await?, shared, true).await,
        Security::StartTls(acceptor) => {
            let mut session = Session::new(client, shared, false);
            session.answer("220 sink").await?;
            if session.run().await? == End::StartTls {
                // What the client sent after STARTTLS was not encrypted, and is forgotten.
                let secure = acceptor.accept(session.stream.into_inner()).await?;
                Session::new(secure, session.shared, true).run().await?;
            }
            Ok(())
        }
    }
}

async fn greet(client: impl Stream, shared: Arc<Shared>, secure: bool) -> Result<()> {
    let mut session = Session::new(client, shared, secure);
    session.answer("220 sink").await?;
    session.run().await.map(drop)
}

struct Session<S> {
    stream: BufReader<S>,
    shared: Arc<Shared>,
    secure: bool,
    user: Option<String>,
    from: Option<String>,
    to: Vec<String>,
}

#[derive(PartialEq, Eq)]
enum End {
    Quit,
    StartTls,
}

impl<S: Stream> Session<S> {
    fn new(stream: S, shared: Arc<Shared>, secure: bool) -> Self {
        Self {
            stream: BufReader::new(stream),
            shared,
            secure,
            user: None,
            from: None,
            to: Vec::new(),
        }
    }

    async fn run(&mut self) -> Result<End> {
        loop {
            let line = self.line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.extensions().await?,
                "HELO" | "NOOP" => self.answer("250 OK").await?,
                "RSET" => {
                    self.forget();
                    self.answer("250 OK").await?;
                }
                "STARTTLS" if self.may_start_tls() => {
                    self.answer("220 go ahead").await?;
                    return Ok(End::StartTls);
                }
                "AUTH" => self.authenticate(rest).await?,
                "MAIL" => self.sender(rest).await?,
                "RCPT" => self.recipient(rest).await?,
                "DATA" => self.data().await?,
                "QUIT" => {
                    self.answer("221 bye").await?;
                    return Ok(End::Quit);
                }
                _ => self.answer("502 5.5.1 not implemented").await?,
            }
        }
    }

    async fn extensions(&mut self) -> Result<()> {
        let mut lines = vec!["sink", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
        if self.may_start_tls() {
            lines.push("STARTTLS");
        }
        if self.shared.options.account.is_some() && !self.may_start_tls() {
            lines.push("AUTH PLAIN LOGIN");
        }
        let last = lines.pop().unwrap_or_default();
        for line in lines {
            self.answer(&format!("250-{line}")).await?;
        }
        self.answer(&format!("250 {last}")).await
    }

    fn may_start_tls(&self) -> bool {
        !self.secure && matches!(self.shared.options.security, Security::StartTls(_))
    }

    async fn authenticate(&mut self, how: &str) -> Result<()> {
        let (mechanism, initial) = how.split_once(' ').unwrap_or((how, ""));
        let (user, password) = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let given = match initial {
                    "" => self.ask("").await?,
                    given => decoded(given)?,
                };
                let mut parts = given.split('\0').skip(1).map(str::to_owned);
                (
                    parts.next().unwrap_or_default(),
                    parts.next().unwrap_or_default(),
                )
            }
            "LOGIN" => {
                let user = match initial {
                    "" => self.ask("VXNlcm5hbWU6").await?,
                    given => decoded(given)?,
                };
                (user, self.ask("UGFzc3dvcmQ6").await?)
            }
            _ => return self.answer("504 5.5.4 no such mechanism").await,
        };
        let account = self.shared.options.account.as_ref();
        if self.may_start_tls() || account != Some(&(user.clone(), password)) {
            return self.answer("535 5.7.8 refused").await;
        }
        self.user = Some(user);
        self.answer("235 2.7.0 OK").await
    }

    /// Asks for the next step of an authentication; what the client says, decoded.
    async fn ask(&mut self, question: &str) -> Result<String> {
        self.answer(&format!("334 {question}")).await?;
        decoded(&self.line().await?)
    }

    async fn sender(&mut self, rest: &str) -> Result<()> {
        if self.may_start_tls() {
            return self.answer("530 5.7.0 STARTTLS first").await;
        }
        if self.shared.options.account.is_some() && self.user.is_none() {
            return self.answer("530 5.7.0 authentication required").await;
        }
        let Some(address) = address(rest, "FROM:") else {
            return self.answer("501 5.5.4 MAIL FROM:<address>").await;
        };
        if self.shared.refuses_senders.load(Ordering::SeqCst) {
            return self.answer("553 5.7.1 not your address").await;
        }
        self.from = Some(address);
        self.answer("250 2.1.0 OK").await
    }

    async fn recipient(&mut self, rest: &str) -> Result<()> {
        let Some(address) = address(rest, "TO:") else {
            return self.answer("501 5.5.4 RCPT TO:<address>").await;
        };
        if self.from.is_none() {
            return self.answer("503 5.5.1 MAIL first").await;
        }
        match address.split('@').next().unwrap_or_default() {
            "tempfail" => return self.answer("451 4.3.0 try again later").await,
            "unknown" => return self.answer("550 5.1.1 no such user").await,
            "full" => return self.answer("552 5.2.2 mailbox full").await,
            "slow" => tokio::time::sleep(self.shared.options.slow).await,
            "dropped" => bail!("the test wants the connection to end"),
            _ => {}
        }
        self.to.push(address);
        self.answer("250 2.1.5 OK").await
    }

    async fn data(&mut self) -> Result<()> {
        if self.to.is_empty() {
            return self.answer("503 5.5.1 RCPT first").await;
        }
        self.answer("354 end with a dot").await?;
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            // A leading dot was doubled (RFC 5321, section 4.5.2).
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push_str("\r\n");
            ensure!(text.len() <= MAIL, "a mail of more than {MAIL} bytes");
        }
        let mail = Mail {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            text,
            user: self.user.clone(),
            secure: self.secure,
        };
        if self.shared.fails() {
            return self.answer("451 4.3.0 try again later").await;
        }
        let full = self.shared.mails.borrow().len() >= MAILS;
        if full {
            return self.answer("452 4.3.1 the sink is full").await;
        }
        let is_filtered = mail.to.iter().any(|to| to.starts_with("filtered@"));
        self.shared.mails.send_modify(|mails| mails.push(mail));
        if is_filtered {
            tokio::time::sleep(self.shared.options.slow).await;
        }
        self.answer("250 2.0.0 taken").await
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        (&mut self.stream)
            .take(LINE)
            .read_until(b'\n', &mut line)
            .await?;
        let line = line.strip_suffix(b"\r\n").context("cut off, or too long")?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    async fn answer(&mut self, line: &str) -> Result<()> {
        // As one: the end of the line by itself would wait for the client's delayed acknowledgement.
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        Ok(self.stream.flush().await?)
    }
}

/// The address between angle brackets after `FROM:` or `TO:`; parameters after it are not heeded.
fn address(rest: &str, keyword: &str) -> Option<String> {
    let given = rest.get(..keyword.len())?;
    if !given.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (_, rest) = rest.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

fn decoded(text: &str) -> Result<String> {
    Ok(String::from_utf8(STANDARD.decode(text)?)?)
}
