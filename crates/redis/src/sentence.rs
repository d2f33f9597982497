//! What is wrong, in one sentence that says what to do.

use std::{fmt, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::settings::Address;

/// Whom we speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A Redis server.
    Server,
    /// A sentinel.
    Sentinel,
}

impl Whose {
    const fn password(self) -> &'static str {
        match self {
            Self::Server => "redis.username and redis.password",
            Self::Sentinel => "redis.sentinel_username and redis.sentinel_password",
        }
    }
}

/// Why Redis is away. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Problem {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// A server that speaks in clear may wait for more when it is spoken to by TLS.
    pub(crate) fn silent(address: &Address, whose: Whose, tls: bool, limit: Duration) -> Self {
        let who = name(whose);
        let hint = if tls {
            ": is it there, and does it speak TLS?"
        } else {
            ""
        };
        Self(format!(
            "{who} {address} does not answer within {limit:?}{hint}"
        ))
    }

    pub(crate) fn of(address: &Address, whose: Whose, tls: bool, error: &RedisError) -> Self {
        let who = format!("{} {address}", name(whose));
        let refused = matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
            || error.kind() == ErrorKind::AuthenticationFailed
            || error
                .detail()
                .is_some_and(|text| text.contains("AUTH <password>"));
        if refused {
            let keys = whose.password();
            return Self(format!("{who} does not know us: correct {keys}"));
        }
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) {
            let keys = whose.password();
            let what = error.detail().unwrap_or("a command is not allowed");
            return Self(format!(
                "{who} does not let us ({what}): allow it to the user of {keys}"
            ));
        }
        let text = error.to_string();
        if text.contains("InvalidContentType") || text.contains("corrupt message") {
            return Self(format!(
                "{who} does not speak TLS: it is another port, or redis.tls is wrong"
            ));
        }
        if text.contains("certificate") {
            return Self(format!(
                "{who} cannot be trusted ({text}): correct redis.tls_ca, or the name"
            ));
        }
        if error.is_timeout() {
            let hint = if tls { ": does it speak TLS?" } else { "" };
            return Self(format!("{who} does not answer in time{hint}"));
        }
        if error.is_connection_refusal() {
            return Self(format!("{who} is not there: the connection was refused"));
        }
        if !tls && (error.is_connection_dropped() || error.kind() == ErrorKind::Parse) {
            return Self(format!(
                "{who} closed the connection: is it gone, or does it want TLS (redis.tls)?"
            ));
        }
        Self(format!("{who}: {text}"))
    }
}

const fn name(whose: Whose) -> &'static str {
    match whose {
        Whose::Server => "Redis",
        Whose::Sentinel => "the sentinel",
    }
}

/// Whether the connection, or whom it leads to, is of no use any more.
pub(crate) fn is_lost(error: &RedisError) -> bool {
    let of_server = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
        )
    );
    of_server || error.is_unrecoverable_error() || error.is_io_error()
}
