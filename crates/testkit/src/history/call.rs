//! One call.

use std::time::Duration;

/// What a client asked, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who asked.
    pub client: usize,
    /// Which instance.
    pub instance: usize,
    /// When it asked: nothing happened before.
    pub start: Duration,
    /// When it had the answer, or gave up.
    pub end: Duration,
    /// What it asked.
    pub action: Action,
    /// What it was told.
    pub outcome: Outcome,
}

/// What is asked. Users and passwords are called by names that are used for one thing only; a
/// session by its id (`sid`), a refresh token by its session and generation (`gen`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Action {
    Register {
        user: String,
        password: String,
    },
    Login {
        user: String,
        password: String,
    },
    Refresh {
        session: String,
        generation: u64,
    },
    /// Any call that shows whether an access token is accepted.
    Validate {
        session: String,
        /// The serial number of the call's token: see [`Grant::access`].
        access: u64,
    },
    /// Ends every session of the user; what it grants is of a new one.
    ChangePassword {
        user: String,
        from: String,
        to: String,
    },
    Logout {
        session: String,
    },
    LogoutEverywhere {
        user: String,
    },
    /// Ends every session of the user when it is `true`.
    SetDisabled {
        user: String,
        disabled: bool,
    },
    /// Ends the access tokens of the user, and not his sessions.
    SetAdmin {
        user: String,
        admin: bool,
    },
    IsAdmin {
        user: String,
    },
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or the token was accepted.
    Done {
        /// The tokens that came with it.
        grant: Option<Grant>,
        /// Who obeys, of what takes access away.
        reach: Option<Reach>,
    },
    /// A flag.
    Is(bool),
    /// It was not done, and will not be.
    Refused(Why),
    /// 503 or 504, UNAVAILABLE or DEADLINE_EXCEEDED: a write may have been done or not.
    Unavailable,
    /// No answer: a write may have been done or not.
    Unknown,
}

/// Tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Their session.
    pub session: String,
    /// The generation of the refresh token.
    pub generation: u64,
    /// The refresh token, or something that is equal only for equal tokens.
    pub refresh: String,
    /// A number for the access token that no other one has.
    pub access: u64,
}

/// The answer's word on who obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every instance.
    Everywhere,
    /// This one, and every other after 1.2 L.
    Pending,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Wrong e-mail or password.
    Credentials,
    /// The token is bad, expired, or revoked.
    Token,
    /// The password is right, and the user disabled.
    Disabled,
    /// The address is taken.
    Exists,
    /// Nothing that the contract knows here: shown in the verdict.
    Unexpected(String),
}

impl Call {
    /// Whether it may have done something: everything but a refusal.
    pub(super) fn may_be_done(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused(_))
    }

    /// When it was done at the latest; `None`: perhaps never.
    pub(super) fn done_by(&self) -> Option<Duration> {
        matches!(self.outcome, Outcome::Done { .. }).then_some(self.end)
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        match &self.outcome {
            Outcome::Done { grant, .. } => grant.as_ref(),
            _ => None,
        }
    }

    /// Who obeys what it ended, where it ended something and was answered.
    pub fn reach(&self) -> Option<Reach> {
        match self.outcome {
            Outcome::Done { reach, .. } => reach,
            _ => None,
        }
    }
}
