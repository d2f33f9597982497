//! What a service may do.

use std::fmt;

/// One thing that a service may be allowed to do, by the contract's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// `auth`: registers and signs in people, validates their tokens.
    Auth,
    /// `revocations:read`: is told what is over.
    RevocationsRead,
    /// `users:admin`: administers users.
    UsersAdmin,
    /// `events:admin`: sees events, and says what becomes of those that failed.
    EventsAdmin,
    /// `audit:read`: reads who did what.
    AuditRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Auth,
        Self::RevocationsRead,
        Self::UsersAdmin,
        Self::EventsAdmin,
        Self::AuditRead,
    ];

    /// The contract's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::RevocationsRead => "revocations:read",
            Self::UsersAdmin => "users:admin",
            Self::EventsAdmin => "events:admin",
            Self::AuditRead => "audit:read",
        }
    }

    /// The scope of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether `scope` is one of them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    const fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(
            scopes
                .into_iter()
                .fold(0, |set, scope| set | Self::bit(scope)),
        )
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = Scope::ALL.into_iter().filter(|scope| self.has(*scope));
        f.debug_set().entries(scopes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for put_in in Scope::ALL {
            let set = Scopes::from_iter([put_in]);
            for asked in Scope::ALL {
                assert_eq!(set.has(asked), asked == put_in, "{put_in} {asked}");
            }
        }
        assert!(
            Scope::ALL
                .iter()
                .all(|scope| !Scopes::default().has(*scope))
        );
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let names = Scope::ALL.map(Scope::as_str).join(" ");
        assert_eq!(
            names,
            "auth revocations:read users:admin events:admin audit:read"
        );
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("Auth"), None);
    }
}
