//! Values parsed once, at the edge: each has private fields and one fallible constructor.

mod email;
mod id;
mod password;
mod profile;
mod shard;
mod version;

pub use email::Email;
pub use id::{EventId, KeyTag, MalformedId, SessionId, UserId};
pub use password::{NewPassword, Password, PasswordHash, PasswordPolicy};
pub use profile::{Birthday, Name};
pub use shard::{SHARDS, ShardSet, shard_of};
pub use version::Version;
