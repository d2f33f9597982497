//! Who may call, as the document says it.

use serde_json::{Value, json};
use sso_core::access::Access;
use tonic::Code;

use super::comments::Error;

const CALLER: &str = "callerToken";
const BEARER: &str = "bearerAuth";

/// The credentials that there are.
pub(super) fn schemes() -> Value {
    json!({
        CALLER: {
            "type": "apiKey",
            "in": "header",
            "name": crate::door::CALLER_TOKEN.as_str(),
            "description": "The token of a service (`[[grpc.callers]]`).",
        },
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token of an administrator.",
        },
    })
}

/// Which of them a method takes; `{}` is none at all.
pub(super) fn security(access: Access) -> Value {
    match access {
        Access::Anyone => json!([]),
        Access::Own | Access::AdministratorOnly => json!([{ BEARER: [] }]),
        Access::KnownCaller | Access::Caller(_) => json!([{ CALLER: [] }, {}]),
        Access::Administrator(_) => json!([{ CALLER: [] }, { BEARER: [] }]),
    }
}

/// The errors that its callers can meet because of who they are.
pub(super) fn errors(access: Access) -> Vec<Error> {
    const TOKEN: [&str; 4] = [
        "invalid_token",
        "wrong_token_type",
        "token_expired",
        "token_revoked",
    ];
    let caller = |text| error(Code::Unauthenticated, &["caller_required"], text);
    let scope = |text: String| error(Code::PermissionDenied, &["forbidden"], text);
    match access {
        Access::Anyone => Vec::new(),
        Access::Own => vec![error(
            Code::Unauthenticated,
            &TOKEN,
            "the access token is missing or refused.",
        )],
        Access::KnownCaller => vec![caller(
            "the operator demands that callers are known, and this one is not.",
        )],
        Access::Caller(needed) => vec![
            caller("the operator demands that callers are known, and this one is not."),
            scope(format!("the caller does not have the scope `{needed}`.")),
        ],
        Access::Administrator(needed) => vec![
            caller("there is neither a known caller nor an access token."),
            error(
                Code::Unauthenticated,
                &TOKEN,
                "the access token is refused.",
            ),
            scope(format!(
                "the caller does not have the scope `{needed}`, and there is no administrator."
            )),
        ],
        Access::AdministratorOnly => vec![
            caller("there is no access token."),
            error(
                Code::Unauthenticated,
                &TOKEN,
                "the access token is refused.",
            ),
            scope("the token is no administrator's; services are not let in.".to_owned()),
        ],
    }
}

fn error(code: Code, reasons: &[&str], text: impl Into<String>) -> Error {
    Error {
        code,
        reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        text: text.into(),
    }
}
