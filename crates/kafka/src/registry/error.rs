use http::StatusCode;
use serde::Deserialize;

/// Why a registry did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No address answers, or only with an error of its own: try again later.
    #[error("the schema registry does not answer ({0})")]
    Unreachable(String),
    /// 401 or 403.
    #[error("the schema registry at {0} refuses our credentials")]
    Unauthorised(String),
    /// What answers there is no registry.
    #[error("there is no schema registry at {0}: see kafka.registry_url")]
    Foreign(String),
    /// No such subject, version or schema (404 with one of its codes).
    #[error("the schema registry does not know it: {0}")]
    Unknown(String),
    /// The schema may not follow those that the subject has (409).
    #[error("the schema registry refuses the schema as incompatible: {0}")]
    Incompatible(String),
    /// The registry does not understand what it was given (422).
    #[error("the schema registry refuses the schema: {0}")]
    Invalid(String),
    /// Anything else.
    #[error("the schema registry answers {status}: {message}")]
    Unexpected {
        /// HTTP's.
        status: u16,
        /// Its own words.
        message: String,
    },
}

/// Longest part of a registry's message that we repeat.
const MAX_MESSAGE: usize = 500;

#[derive(Deserialize)]
struct Body {
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl RegistryError {
    /// Reads an answer that is not 200.
    pub(super) fn of_answer(shown: String, status: StatusCode, body: &[u8]) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Self::Unauthorised(shown),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Self::Unreachable(format!("{shown}: {status}"));
            }
            _ => {}
        }
        // Every registry says so in JSON; a server of another kind does not.
        let Ok(Body {
            error_code,
            message,
        }) = serde_json::from_slice(body)
        else {
            return Self::Foreign(shown);
        };
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        match error_code {
            404 => Self::Foreign(shown),
            40_401..=40_499 => Self::Unknown(message),
            // 40901 in newer ones.
            409 | 40_901 => Self::Incompatible(message),
            42_201..=42_299 | 422 => Self::Invalid(message),
            _ => Self::Unexpected {
                status: status.as_u16(),
                message,
            },
        }
    }

    /// Whether a registry has said it that accepts our credentials.
    pub(super) const fn is_of_a_registry(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unauthorised(_) | Self::Foreign(_) => false,
            Self::Unknown(_)
            | Self::Incompatible(_)
            | Self::Invalid(_)
            | Self::Unexpected { .. } => true,
        }
    }

    /// What is not there is `None`.
    pub(super) fn absent<T>(answer: Result<T, Self>) -> Result<Option<T>, Self> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(Self::Unknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A word for a metric.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Unauthorised(_) => "unauthorised",
            Self::Foreign(_) => "foreign",
            Self::Unknown(_) => "unknown",
            Self::Incompatible(_) => "incompatible",
            Self::Invalid(_) => "invalid",
            Self::Unexpected { .. } => "unexpected",
        }
    }
}
