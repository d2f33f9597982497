//! What ends sessions and tokens, and which.

use std::{collections::HashMap, time::Duration};

use super::{
    call::{Action, Call, Reach},
    refreshes::Refreshes,
};

/// Where tokens come from, and what ends them.
pub(super) struct Ends<'a> {
    sessions: HashMap<&'a str, Origin<'a>>,
    /// When each access token was made.
    tokens: HashMap<u64, (Duration, Duration)>,
    of_session: HashMap<&'a str, Vec<End<'a>>>,
    of_user: HashMap<&'a str, Vec<End<'a>>>,
}

/// The call that opened a session.
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    user: &'a str,
    call: usize,
    start: Duration,
    end: Duration,
}

#[derive(Debug, Clone, Copy)]
struct End<'a> {
    number: usize,
    call: &'a Call,
    /// Only the access tokens; the session goes on.
    tokens_only: bool,
}

/// A token that is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) session: &'a str,
    /// `None`: a refresh token.
    pub(super) access: Option<u64>,
}

impl<'a> Ends<'a> {
    pub(super) fn of(calls: &'a [Call]) -> Self {
        let mut ends = Self {
            sessions: HashMap::new(),
            tokens: HashMap::new(),
            of_session: HashMap::new(),
            of_user: HashMap::new(),
        };
        for (number, call) in calls.iter().enumerate() {
            ends.origin(number, call);
            ends.end(number, call);
        }
        ends
    }

    fn origin(&mut self, number: usize, call: &'a Call) {
        let Some(grant) = call.grant() else {
            return;
        };
        self.tokens.insert(grant.access, (call.start, call.end));
        let (Action::Register { user, .. }
        | Action::Login { user, .. }
        | Action::ChangePassword { user, .. }) = &call.action
        else {
            return;
        };
        let origin = Origin {
            user,
            call: number,
            start: call.start,
            end: call.end,
        };
        self.sessions.insert(&grant.session, origin);
    }

    fn end(&mut self, number: usize, call: &'a Call) {
        if !call.may_be_done() {
            return;
        }
        let mut end = End {
            number,
            call,
            tokens_only: false,
        };
        match &call.action {
            Action::Logout { session } => self.of_session.entry(session).or_default().push(end),
            Action::SetAdmin { user, .. } => {
                end.tokens_only = true;
                self.of_user.entry(user).or_default().push(end);
            }
            Action::ChangePassword { user, .. }
            | Action::LogoutEverywhere { user }
            | Action::SetDisabled {
                user,
                disabled: true,
            } => self.of_user.entry(user).or_default().push(end),
            _ => {}
        }
    }

    /// Whom a call is about.
    pub(super) fn user_of(&self, call: &'a Call) -> Option<&'a str> {
        match &call.action {
            Action::Register { user, .. }
            | Action::Login { user, .. }
            | Action::ChangePassword { user, .. }
            | Action::LogoutEverywhere { user }
            | Action::SetDisabled { user, .. }
            | Action::SetAdmin { user, .. }
            | Action::IsAdmin { user } => Some(user),
            Action::Refresh { session, .. }
            | Action::Validate { session, .. }
            | Action::Logout { session } => self
                .sessions
                .get(session.as_str())
                .map(|origin| origin.user),
        }
    }

    /// Whether anybody was told of this session.
    pub(super) fn knows(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }

    /// The calls that have certainly ended the token.
    pub(super) fn certain(&self, token: Token<'a>) -> impl Iterator<Item = &'a Call> {
        let of_session = self.of_session.get(token.session).into_iter().flatten();
        let of_user = self.of_user_of(token.session).filter(move |end| {
            // What it was made of was there before the end was asked for.
            self.made(token, end)
                .is_some_and(|(_, made)| made < end.call.start)
        });
        let all = of_session.chain(of_user).map(|end| end.call);
        all.filter(|call| call.done_by().is_some())
    }

    /// Whether something may have ended the token before `end`.
    pub(super) fn possible(
        &self,
        token: Token<'a>,
        end: Duration,
        refreshes: &Refreshes<'_>,
    ) -> bool {
        let mut of_session = self.of_session.get(token.session).into_iter().flatten();
        of_session.any(|one| one.call.start <= end)
            || refreshes.may_look_stolen(token.session, end)
            || self.of_user_of(token.session).any(|one| {
                let made = self.made(token, one);
                let before =
                    made.is_some_and(|(from, _)| one.call.done_by().is_none_or(|by| from <= by));
                one.call.start <= end && before && self.opened_by(token.session) != Some(one.number)
            })
    }

    fn of_user_of(&self, session: &str) -> impl Iterator<Item = &End<'a>> {
        let user = self.sessions.get(session).map(|origin| origin.user);
        let ends = user.and_then(|user| self.of_user.get(user));
        ends.into_iter().flatten()
    }

    fn opened_by(&self, session: &str) -> Option<usize> {
        self.sessions.get(session).map(|origin| origin.call)
    }

    /// When that was made which this end ends: the session, or the access token.
    fn made(&self, token: Token<'_>, end: &End<'_>) -> Option<(Duration, Duration)> {
        if end.tokens_only {
            return self.tokens.get(&token.access?).copied();
        }
        let origin = self.sessions.get(token.session)?;
        Some((origin.start, origin.end))
    }
}

/// Whether an end that was answered must be obeyed by who was asked `by` this call.
pub(super) fn is_due(end: &Call, asked: &Call, bound: Duration) -> Option<Due> {
    if end.end >= asked.start {
        return None;
    }
    if end.reach() == Some(Reach::Everywhere) {
        return Some(Due::Everywhere);
    }
    if end.instance == asked.instance {
        return Some(Due::Here);
    }
    (end.end + bound < asked.start).then_some(Due::Bound)
}

/// Since when an end must be obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Everywhere,
    Here,
    Bound,
}
