//! Messages and clients made from `proto/`.

use std::fmt;

pub(crate) use generated::{auth, v1};

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "generated"
)]
mod generated {
    pub(crate) mod auth {
        include!(concat!(env!("OUT_DIR"), "/auth.rs"));
    }
    pub(crate) mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sso.v1.rs"));
    }
}

/// Without the token.
impl fmt::Debug for auth::ValidateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValidateRequest(..)")
    }
}
