//! Who is at the door of the services' port, and may he come in?

use std::sync::Arc;

use crate::{
    access::Access,
    caller::{Identity, NotAllowed, Service},
    failure::{Failure, Kind},
    ports::{AccessClaims, Callers, StoreError, TokenRefused, store::Freshness},
    scope::Scope,
    sso::Sso,
    usecases::validate::validate,
};

/// What a request shows of who asks. Nothing of it is believed yet.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// `x-caller-token`.
    pub caller_token: Option<&'a str>,
    /// The names in the verified client certificate of the connection.
    pub certificate: &'a [String],
    /// The access token of `authorization: Bearer`; `""` for a header that is none.
    pub bearer: Option<&'a str>,
}

/// Looks at credentials before a request is read any further. Use cases still ask the caller what
/// they need to know: this is the door, not the lock of each room.
#[derive(Clone)]
pub struct Doorkeeper {
    /// Whom the operator has written down.
    pub callers: Arc<dyn Callers>,
    /// Whether services must identify themselves also where people's credentials are in the
    /// message.
    pub require_caller: bool,
}

/// Why a request is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// No caller, or nobody whom we know.
    #[error("a known caller is required")]
    CallerRequired,
    /// No access token where no service is let in.
    #[error("an administrator's access token is required")]
    AdministratorRequired,
    /// Known, and not allowed.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The access token is refused.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::CallerRequired => Self::new(
                Kind::Unauthenticated,
                "caller_required",
                "a known caller is required: send its token as x-caller-token",
            ),
            AdmitError::AdministratorRequired => Self::new(
                Kind::Unauthenticated,
                "caller_required",
                "an administrator's access token is required: send it as authorization: Bearer",
            ),
            AdmitError::NotAllowed(error) => error.into(),
            AdmitError::Token(refused) => refused.into(),
            AdmitError::Store(error) => error.into(),
        }
    }
}

impl Doorkeeper {
    /// Lets a request in, as whom its credentials say, if `access` allows it. An unknown caller is
    /// as none.
    pub async fn admit(
        &self,
        sso: &Sso,
        access: Access,
        shown: Credentials<'_>,
    ) -> Result<Identity, AdmitError> {
        match access {
            Access::Anyone => Ok(Identity::Anonymous),
            Access::Own => {
                let token = shown.bearer.ok_or(TokenRefused::Invalid)?;
                Ok(Identity::User(validate(sso, token).await?))
            }
            Access::KnownCaller => self.caller(shown, None),
            Access::Caller(scope) => self.caller(shown, Some(scope)),
            Access::Administrator(scope) => self.administrator(sso, shown, scope).await,
            Access::AdministratorOnly => match (self.known(shown), shown.bearer) {
                (_, Some(token)) => Ok(Identity::Admin(administrator(sso, token).await?)),
                (Some(_), None) => Err(NotAllowed.into()),
                (None, None) => Err(AdmitError::AdministratorRequired),
            },
        }
    }

    /// Whether the credentials by which somebody was let in for `scope` are still good, for what lasts
    /// longer than a request. No store is asked: a lost role comes as a revocation.
    pub async fn still_admits(
        &self,
        sso: &Sso,
        identity: &Identity,
        shown: Credentials<'_>,
        scope: Scope,
    ) -> Result<(), AdmitError> {
        match identity {
            Identity::Service(_) => match self.known(shown) {
                Some(service) if service.scopes.has(scope) => Ok(()),
                Some(_) => Err(NotAllowed.into()),
                None => Err(AdmitError::CallerRequired),
            },
            Identity::User(_) | Identity::Admin(_) => {
                let token = shown.bearer.ok_or(TokenRefused::Invalid)?;
                validate(sso, token).await?;
                Ok(())
            }
            Identity::Anonymous | Identity::Operator => Err(NotAllowed.into()),
        }
    }

    /// Where nobody need be known, who is known has the scopes that he was given all the same.
    fn caller(&self, shown: Credentials<'_>, scope: Option<Scope>) -> Result<Identity, AdmitError> {
        match self.known(shown) {
            Some(service) => {
                let has = scope.is_none_or(|scope| service.scopes.has(scope));
                if !has {
                    return Err(NotAllowed.into());
                }
                Ok(Identity::Service(service))
            }
            None if self.require_caller => Err(AdmitError::CallerRequired),
            None => Ok(Identity::Anonymous),
        }
    }

    async fn administrator(
        &self,
        sso: &Sso,
        shown: Credentials<'_>,
        scope: Scope,
    ) -> Result<Identity, AdmitError> {
        let service = self.known(shown);
        match (service, shown.bearer) {
            (Some(service), _) if service.scopes.has(scope) => Ok(Identity::Service(service)),
            (_, Some(token)) => Ok(Identity::Admin(administrator(sso, token).await?)),
            (Some(_), None) => Err(NotAllowed.into()),
            (None, None) => Err(AdmitError::CallerRequired),
        }
    }

    fn known(&self, shown: Credentials<'_>) -> Option<Service> {
        let by_token = shown
            .caller_token
            .and_then(|token| self.callers.by_token(token));
        by_token.or_else(|| self.callers.by_certificate(shown.certificate))
    }
}

/// The claims of an administrator's access token, if the primary's row still bears them out. A
/// token in the seed's form never says `adm`, so it ends here.
async fn administrator(sso: &Sso, token: &str) -> Result<AccessClaims, AdmitError> {
    let claims = sso.tokens.verify_access(token, sso.clock.now())?;
    let row = if claims.is_admin {
        sso.store.user(claims.user, Freshness::Primary).await?
    } else {
        None
    };
    // After the row: what ended his session while it was read counts, and the lease is read last.
    sso.revocations.check(&claims)?;
    if !claims.is_admin {
        return Err(NotAllowed.into());
    }
    let row = row.filter(|user| user.honours(claims.version));
    if row.ok_or(TokenRefused::Revoked)?.is_admin {
        Ok(claims)
    } else {
        Err(NotAllowed.into())
    }
}
