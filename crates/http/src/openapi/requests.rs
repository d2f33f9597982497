//! Request bodies as the document shows them. What is read is said in the handlers; a test keeps
//! both together.

#![expect(
    dead_code,
    reason = "shapes for the document: bodies are read member by member"
)]

use utoipa::ToSchema;

/// A new account.
#[derive(ToSchema)]
#[schema(as = RegistrationRequest)]
pub(crate) struct Registration {
    /// Unique by its lower-case form, kept as typed; nothing is trimmed. ASCII.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
    /// 8 characters at least, 1024 bytes at most; any characters. The e-mail itself and the 10,000
    /// commonest passwords are refused.
    #[schema(format = Password, min_length = 8, max_length = 1024, example = "correct horse battery")]
    password: String,
    /// Without control characters; `""` and `null` are absent.
    #[schema(max_length = 100, example = "Ada Lovelace")]
    name: Option<String>,
    /// A real day from 1900-01-01 to today; `""` and `null` are absent.
    #[schema(format = Date, example = "1990-12-10")]
    birthday: Option<String>,
}

/// Who wants to sign in.
#[derive(ToSchema)]
#[schema(as = LoginRequest)]
pub(crate) struct Login {
    /// In any case of letters.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
    /// As it was set.
    #[schema(format = Password, min_length = 1, max_length = 1024, example = "correct horse battery")]
    password: String,
}

/// A refresh token to be exchanged.
#[derive(ToSchema)]
#[schema(as = RefreshRequest)]
pub(crate) struct Refresh {
    /// The refresh token.
    #[schema(min_length = 1)]
    token: String,
}

/// A token whose session is to end.
#[derive(ToSchema)]
#[schema(as = LogoutRequest)]
pub(crate) struct Logout {
    /// The access token or the refresh token.
    #[schema(min_length = 1)]
    token: String,
    /// All sessions of the token's user; `null` and missing are `false`.
    #[schema(default = false)]
    everywhere: Option<bool>,
}

/// The password now, and the one it is to be.
#[derive(ToSchema)]
#[schema(as = PasswordRequest)]
pub(crate) struct Password {
    /// The password now.
    #[schema(format = Password, min_length = 1, max_length = 1024, example = "correct horse battery")]
    current_password: String,
    /// Another one, by the rules of registration.
    #[schema(format = Password, min_length = 8, max_length = 1024, example = "another staple entirely")]
    new_password: String,
}
