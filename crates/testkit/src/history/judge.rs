//! The rules.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use super::{
    call::{Action, Call, Outcome, Reach, Why},
    ends::{Due, Ends, Token, is_due},
    figures::{Figure, Kind, figures},
    refreshes::Refreshes,
    register::{Register, Stale},
};

/// Most contradictions that are shown in full.
const SHOWN: usize = 5;
/// How much after a contradiction its story goes on.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Under which terms a history is read.
#[derive(Debug, Clone)]
pub struct Terms {
    /// `L`: `pending` is everywhere after 1.2 of it.
    pub lease: Duration,
    /// How long a refresh token has its successor.
    pub grace: Duration,
    /// What a failover may lose.
    pub durability: Durability,
    /// When failovers began, on the clock of the history: the grace begins anew after each.
    pub failovers: Vec<Duration>,
}

/// What a failover may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was acknowledged.
    Synchronous,
    /// The last moments; never what was ended `everywhere`.
    Asynchronous,
}

/// What contradicts what was answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Complaint {
    /// A password or token that is good was refused.
    Refused,
    /// A password was accepted after another had replaced it.
    OldPassword,
    /// An address was taken before anybody asked for it.
    Exists,
    /// An address was given twice.
    Twice,
    /// A token was accepted by the instance that had ended it.
    AfterOwn,
    /// A token was accepted after its end was answered `everywhere`.
    AfterEverywhere,
    /// A token was accepted later than 1.2 L after its end was answered.
    AfterBound,
    /// A session was refreshed after its end was answered.
    AfterEnd,
    /// A refresh token was accepted after its grace.
    AfterGrace,
    /// A refresh token had two successors.
    Successors,
    /// A flag was not what was set last.
    Flag,
    /// Nothing that the contract knows.
    Unexpected,
}

/// A call whose answer cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The rule.
    pub complaint: Complaint,
    /// The call.
    pub call: Call,
    /// The calls about the same user until then, and a little longer.
    pub story: Vec<Call>,
}

/// An acknowledged write that a failover lost, as far as an answer showed it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loss {
    /// What showed it.
    pub shown_by: Complaint,
    /// Whose it was: a user and what was written, or a session.
    pub of: String,
}

/// What was found.
#[derive(Debug)]
pub struct Verdict {
    /// What cannot be. Nothing of it is allowed.
    pub contradictions: Vec<Contradiction>,
    /// What was lost; empty unless [`Durability::Asynchronous`]. Each once, however often it shows.
    pub lost: BTreeSet<Loss>,
    /// How much was asked.
    pub figures: BTreeMap<Kind, Figure>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, figure) in &self.figures {
            writeln!(f, "{kind:?}: {figure}")?;
        }
        writeln!(f, "lost: {}", self.lost.len())?;
        for loss in &self.lost {
            writeln!(f, "  {} ({:?})", loss.of, loss.shown_by)?;
        }
        writeln!(f, "contradictions: {}", self.contradictions.len())?;
        for found in self.contradictions.iter().take(SHOWN) {
            writeln!(f, "{:?}: {:?}, after", found.complaint, found.call)?;
            for call in &found.story {
                writeln!(f, "  {call:?}")?;
            }
        }
        Ok(())
    }
}

/// Reads calls that are sorted by their ends.
pub(super) fn judge(calls: &[Call], terms: &Terms) -> Verdict {
    let mut judge = Judge {
        calls,
        terms,
        users: HashMap::new(),
        ends: Ends::of(calls),
        refreshes: Refreshes::of(calls, terms.grace),
        contradictions: Vec::new(),
        lost: BTreeSet::new(),
    };
    for call in calls {
        judge.write(call);
    }
    for call in calls {
        judge.see(call);
    }
    for call in calls {
        judge.read(call);
    }
    Verdict {
        contradictions: judge.contradictions,
        lost: judge.lost,
        figures: figures(calls),
    }
}

struct Judge<'a> {
    calls: &'a [Call],
    terms: &'a Terms,
    users: HashMap<&'a str, User>,
    ends: Ends<'a>,
    refreshes: Refreshes<'a>,
    contradictions: Vec<Contradiction>,
    lost: BTreeSet<Loss>,
}

struct User {
    password: Register<String>,
    disabled: Register<bool>,
    admin: Register<bool>,
    /// When the registration was answered.
    registered: Option<Duration>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            password: Register::default(),
            disabled: Register::given(false),
            admin: Register::given(false),
            registered: None,
        }
    }
}

impl<'a> Judge<'a> {
    fn user(&mut self, name: &'a str) -> &mut User {
        self.users.entry(name).or_default()
    }

    fn write(&mut self, call: &'a Call) {
        match &call.action {
            Action::Register { user, password } => {
                let user = self.user(user);
                user.password.write(password.clone(), call);
                user.registered = user.registered.or(call.done_by());
            }
            Action::ChangePassword { user, to, .. } => {
                self.user(user).password.write(to.clone(), call);
            }
            Action::SetDisabled { user, disabled } => {
                self.user(user).disabled.write(*disabled, call);
            }
            Action::SetAdmin { user, admin } => self.user(user).admin.write(*admin, call),
            _ => {}
        }
    }

    /// An answer that shows what is settles what became of writes of unknown outcome.
    fn see(&mut self, call: &'a Call) {
        match (&call.action, &call.outcome) {
            (
                Action::Login { user, password },
                Outcome::Done { .. } | Outcome::Refused(Why::Disabled),
            ) => self.user(user).password.seen(password, call.end),
            (Action::IsAdmin { user }, Outcome::Is(admin)) => {
                self.user(user).admin.seen(admin, call.end);
            }
            _ => {}
        }
    }

    fn read(&mut self, call: &'a Call) {
        if let Outcome::Refused(Why::Unexpected(_)) = &call.outcome {
            return self.complain(Complaint::Unexpected, call);
        }
        match &call.action {
            Action::Register { user, .. } => self.registration(call, user),
            Action::Login { user, password } => self.login(call, user, password),
            Action::ChangePassword { user, from, .. } => self.password(call, user, from),
            Action::Validate { session, access } => self.validation(call, session, *access),
            Action::Refresh {
                session,
                generation,
            } => self.refresh(call, session, *generation),
            Action::IsAdmin { user } => self.admin(call, user),
            // Any token of ours will do, whatever became of it.
            Action::Logout { session } if matches!(call.outcome, Outcome::Refused(_)) => {
                self.suspect(Complaint::Refused, call, session);
            }
            Action::LogoutEverywhere { user } if matches!(call.outcome, Outcome::Refused(_)) => {
                self.suspect(Complaint::Refused, call, user);
            }
            _ => {}
        }
    }

    fn registration(&mut self, call: &'a Call, name: &'a str) {
        let user = self.user(name);
        match call.outcome {
            Outcome::Refused(Why::Exists) if !user.password.may_have_been_written(call.end) => {
                self.complain(Complaint::Exists, call);
            }
            Outcome::Done { .. } if user.registered.is_some_and(|by| by < call.start) => {
                self.suspect(Complaint::Twice, call, name);
            }
            _ => {}
        }
    }

    fn login(&mut self, call: &'a Call, name: &'a str, password: &'a String) {
        self.password(call, name, password);
        let (start, end) = (call.start, call.end);
        let disabled = &self.user(name).disabled;
        let wrong = match call.outcome {
            Outcome::Done { .. } => disabled.must_be(&true, start, end),
            Outcome::Refused(Why::Disabled) => disabled.cannot_be(&true, start, end).is_some(),
            _ => false,
        };
        if wrong {
            self.suspect(Complaint::Flag, call, name);
        }
    }

    /// A password that was accepted or refused.
    fn password(&mut self, call: &'a Call, name: &'a str, password: &'a String) {
        let (start, end) = (call.start, call.end);
        let known = &self.user(name).password;
        match call.outcome {
            Outcome::Done { .. } | Outcome::Refused(Why::Disabled) => {
                match known.cannot_be(password, start, end) {
                    Some(Stale { everywhere: true }) => {
                        self.complain(Complaint::OldPassword, call);
                    }
                    Some(_) => self.suspect(Complaint::OldPassword, call, name),
                    None => {}
                }
            }
            Outcome::Refused(Why::Credentials) if known.must_be(password, start, end) => {
                self.suspect(Complaint::Refused, call, &format!("{name} {password}"));
            }
            _ => {}
        }
    }

    fn validation(&mut self, call: &'a Call, session: &'a str, access: u64) {
        let token = Token {
            session,
            access: Some(access),
        };
        match call.outcome {
            Outcome::Done { .. } => {
                // Here and everywhere weigh more than late.
                let bound = self.terms.lease * 12 / 10;
                let due: Vec<_> = self
                    .ends
                    .certain(token)
                    .filter_map(|end| is_due(end, call, bound))
                    .collect();
                if due.contains(&Due::Everywhere) {
                    self.complain(Complaint::AfterEverywhere, call);
                } else if due.contains(&Due::Here) {
                    self.complain(Complaint::AfterOwn, call);
                } else if due.contains(&Due::Bound) {
                    self.suspect(Complaint::AfterBound, call, session);
                }
            }
            Outcome::Refused(_) => self.refusal(call, token),
            _ => {}
        }
    }

    fn refresh(&mut self, call: &'a Call, session: &'a str, generation: u64) {
        let token = Token {
            session,
            access: None,
        };
        match call.outcome {
            Outcome::Done { .. } => {
                let ends: Vec<_> = self
                    .ends
                    .certain(token)
                    .filter(|end| end.end < call.start)
                    .map(Call::reach)
                    .collect();
                if ends.contains(&Some(Reach::Everywhere)) {
                    self.complain(Complaint::AfterEverywhere, call);
                } else if !ends.is_empty() {
                    self.suspect(Complaint::AfterEnd, call, session);
                }
                self.rotation(call, session, generation);
            }
            Outcome::Refused(_) if !self.refreshes.may_be_outdated(call, session, generation) => {
                self.refusal(call, token);
            }
            _ => {}
        }
    }

    fn rotation(&mut self, call: &'a Call, session: &'a str, generation: u64) {
        let terms = self.terms;
        let disturbed = |from, to| terms.failovers.iter().any(|at| (from..=to).contains(at));
        let refreshes = &self.refreshes;
        let late = refreshes.is_after_grace(call, session, generation, disturbed);
        let other = refreshes.other_successor(call, session, generation);
        if late {
            self.complain(Complaint::AfterGrace, call);
        }
        if other.is_some() {
            self.suspect(Complaint::Successors, call, session);
        }
    }

    /// A token was refused: may something have ended it?
    fn refusal(&mut self, call: &'a Call, token: Token<'a>) {
        let possible = self.ends.possible(token, call.end, &self.refreshes);
        if self.ends.knows(token.session) && !possible {
            self.suspect(Complaint::Refused, call, token.session);
        }
    }

    fn admin(&mut self, call: &'a Call, name: &'a str) {
        let Outcome::Is(admin) = call.outcome else {
            return;
        };
        let known = &self.user(name).admin;
        match known.cannot_be(&admin, call.start, call.end) {
            Some(Stale { everywhere: true }) => self.complain(Complaint::Flag, call),
            Some(_) => self.suspect(Complaint::Flag, call, name),
            None => {}
        }
    }

    fn complain(&mut self, complaint: Complaint, call: &'a Call) {
        let user = self.ends.user_of(call);
        let of_user = self.calls.iter().filter(|other| {
            other.start <= call.end + AFTERMATH && self.ends.user_of(other) == user
        });
        let story = if self.contradictions.len() < SHOWN {
            of_user.cloned().collect()
        } else {
            Vec::new()
        };
        self.contradictions.push(Contradiction {
            complaint,
            call: call.clone(),
            story,
        });
    }

    /// A contradiction, unless a failover may have lost what it contradicts.
    fn suspect(&mut self, complaint: Complaint, call: &'a Call, of: &str) {
        if self.terms.durability == Durability::Synchronous {
            return self.complain(complaint, call);
        }
        self.lost.insert(Loss {
            shown_by: complaint,
            of: of.to_owned(),
        });
    }
}
