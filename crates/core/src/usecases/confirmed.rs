//! Nobody is refused by what a deposed primary says.

use super::{
    administer::AdministerError, change_password::ChangePasswordError, info::InfoError,
    is_admin::IsAdminError, login::LoginError, refresh::RefreshError, sessions::SessionsError,
};
use crate::{
    ports::{StoreError, TokenRefused},
    sso::Sso,
};

/// How often it is done: a second promotion meanwhile is none that a client should wait for.
const ATTEMPTS: usize = 2;

/// Says of an error whether it rests on a row, or on there being none.
pub(crate) trait RestsOnRow: From<StoreError> {
    /// Whether another primary could say otherwise.
    fn rests_on_row(&self) -> bool;

    /// Whether how long it took could tell what is in a row, or that there is none.
    fn could_tell_by_time(&self) -> bool {
        self.rests_on_row()
    }
}

/// The primary was another one each time.
#[derive(Debug, thiserror::Error)]
#[error("the primary changed {ATTEMPTS} times")]
struct Changed;

impl Sso {
    /// Does it; what is refused by a row counts only if the server that was read was the
    /// [primary](crate::revocation::Revocations::reading), else it is done once more.
    pub(crate) async fn confirmed<T, E, F>(&self, step: impl FnMut() -> F) -> Result<T, E>
    where
        E: RestsOnRow,
        F: Future<Output = Result<T, E>>,
    {
        let is_refused = |result: &Result<T, E>| result.as_ref().is_err_and(E::rests_on_row);
        self.confirmed_where(is_refused, step).await
    }

    /// The same with what counts only then.
    pub(crate) async fn confirmed_where<T, E, F>(
        &self,
        rests: impl Fn(&Result<T, E>) -> bool,
        mut step: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
        F: Future<Output = Result<T, E>>,
    {
        for _ in 0..ATTEMPTS {
            let reading = self.revocations.reading();
            let result = step().await;
            if !rests(&result) || reading.stands().await? {
                return result;
            }
        }
        Err(StoreError::unavailable(Changed).into())
    }
}

/// Of the token itself nothing else is said by another primary.
fn is_over(refused: TokenRefused) -> bool {
    matches!(refused, TokenRefused::Revoked | TokenRefused::Expired)
}

impl RestsOnRow for LoginError {
    fn rests_on_row(&self) -> bool {
        matches!(self, Self::InvalidCredentials | Self::UserDisabled)
    }

    /// Whoever is not on a replica is looked for on the primary before anything is hashed.
    fn could_tell_by_time(&self) -> bool {
        self.rests_on_row() || matches!(self, Self::Store(_))
    }
}

impl RestsOnRow for RefreshError {
    fn rests_on_row(&self) -> bool {
        matches!(self, Self::Token(refused) if is_over(*refused))
    }
}

impl RestsOnRow for ChangePasswordError {
    fn rests_on_row(&self) -> bool {
        match self {
            Self::Token(refused) => is_over(*refused),
            Self::WrongPassword => true,
            _ => false,
        }
    }
}

impl RestsOnRow for InfoError {
    fn rests_on_row(&self) -> bool {
        matches!(self, Self::Token(refused) if is_over(*refused))
    }
}

impl RestsOnRow for IsAdminError {
    fn rests_on_row(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}

impl RestsOnRow for SessionsError {
    fn rests_on_row(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}

impl RestsOnRow for AdministerError {
    fn rests_on_row(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}
