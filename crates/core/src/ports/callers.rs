//! Services that may identify themselves.

use crate::caller::Service;

/// The services that the operator has written down.
pub trait Callers: Send + Sync {
    /// The service whose token this is. How long it takes tells nothing about any token.
    fn by_token(&self, token: &str) -> Option<Service>;

    /// The service that one of these names of a verified client certificate belongs to.
    fn by_certificate(&self, names: &[String]) -> Option<Service>;
}
