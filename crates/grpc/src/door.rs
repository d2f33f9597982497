//! The door: who calls, and may he? Asked before a message is read.

use axum::http::{Extensions, HeaderMap, HeaderName, request::Parts};
use sso_core::{
    Failure, Identity, Sso,
    usecases::admit::{Credentials, Doorkeeper},
};
use sso_web::{ClientCertificate, bearer, bearer::BearerError};

use crate::methods;

/// Carries a caller's token.
pub(crate) const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-caller-token");

/// An extension of requests that were let in: as whom.
#[derive(Debug, Clone)]
pub(crate) struct Admitted(pub Identity);

/// Lets calls in by the rule of their method.
pub(crate) struct Door {
    sso: Sso,
    keeper: Doorkeeper,
}

impl Door {
    pub(crate) fn new(sso: Sso, keeper: Doorkeeper) -> Self {
        Self { sso, keeper }
    }

    /// Lets in the call whose method is at `path`; its handler finds [`Admitted`]. What is no method
    /// of ours goes on, to be told so; a method without a rule is for nobody.
    pub(crate) async fn admit(&self, path: &str, call: &mut Parts) -> Result<(), Failure> {
        let Some(method) = methods::at(path) else {
            return Ok(());
        };
        let access = method
            .access
            .ok_or_else(|| Failure::internal("an rpc without a rule was called"))?;
        let shown = credentials(&call.headers, &call.extensions);
        let identity = self.keeper.admit(&self.sso, access, shown).await?;
        call.extensions.insert(Admitted(identity));
        Ok(())
    }
}

/// What a call shows of who asks.
pub(crate) fn credentials<'a>(
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
) -> Credentials<'a> {
    let mut tokens = headers.get_all(CALLER_TOKEN).iter();
    let caller_token = match (tokens.next(), tokens.next()) {
        (Some(only), None) => only.to_str().ok(),
        // Two are none: nobody is to guess which one counts.
        _ => None,
    };
    let certificate = extensions.get::<ClientCertificate>();
    Credentials {
        caller_token,
        certificate: certificate.map_or(&[], ClientCertificate::names),
        bearer: match bearer(headers) {
            Ok(token) => Some(token),
            Err(BearerError::Missing) => None,
            Err(BearerError::Malformed) => Some(""),
        },
    }
}
