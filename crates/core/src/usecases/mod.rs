//! One module per use case. Each takes the [`Sso`](crate::Sso), the caller, and a request parsed
//! into types of the domain; each has an error of its own that becomes a
//! [`Failure`](crate::Failure).

pub mod administer;
pub mod admit;
mod attempts;
pub mod audit;
pub mod change_password;
mod confirmed;
pub mod events;
pub mod import;
pub mod info;
pub mod is_admin;
mod issue;
pub mod janitor;
pub mod keys;
pub mod login;
pub mod logout;
mod named;
mod once_more;
mod paging;
pub mod refresh;
pub mod register;
pub mod relay;
pub mod sessions;
pub mod validate;
pub mod watch;

pub use issue::SignedIn;
pub use named::Named;
pub use paging::{Ask, DEFAULT_PAGE, MAX_PAGE, Page};
