//! Messages and servers made from `proto/`.

use std::fmt;

pub(crate) use generated::auth::*;
pub(crate) use generated::v1;

/// The descriptors of the services and all that they import, comments included: a serialised
/// `google.protobuf.FileDescriptorSet`.
pub(crate) const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
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

/// `Debug` of messages that hold a password or a token: their name only.
macro_rules! opaque {
    ($($message:ty),+ $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(..)"))
            }
        }
    )+};
}

opaque!(
    RegisterRequest,
    LoginRequest,
    LoginResponse,
    RefreshRequest,
    RefreshResponse,
    LogoutRequest,
    ValidateRequest,
    v1::CreateUserRequest,
    v1::SetPasswordRequest,
);
