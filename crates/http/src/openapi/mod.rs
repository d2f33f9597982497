//! The document of the API, made from its handlers.

pub(crate) mod errors;
pub(crate) mod requests;

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    middleware::{Next, from_fn},
    response::Response,
};
use utoipa::{
    OpenApi,
    openapi::{
        HeaderBuilder, ObjectBuilder, RefOr, Type,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    error::{ErrorBody, FieldBody},
    routes::{account, health, jwks, me, sessions},
    state::Shared,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "sso",
        description = include_str!("description.md"),
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "account", description = "Register, log in, stay in, log out."),
        (name = "me", description = "What a user sees and changes of himself."),
        (name = "keys", description = "For services that verify tokens themselves."),
        (name = "health", description = "For balancers and supervisors."),
    ),
    components(schemas(ErrorBody, FieldBody, errors::Revocation)),
)]
struct Document;

/// The OpenAPI 3.1 document of every route.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().into_openapi()
}

/// Every route of the API with its document.
pub(crate) fn api() -> OpenApiRouter<Shared> {
    let open = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(account::registration))
        .routes(routes!(account::login))
        .routes(routes!(account::refresh))
        .routes(routes!(account::logout));
    let bearer = OpenApiRouter::default()
        .routes(routes!(me::info))
        .routes(routes!(me::password))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .layer(from_fn(challenge));
    let probes = OpenApiRouter::default()
        .routes(routes!(jwks::jwks))
        .routes(routes!(health::ready))
        .routes(routes!(health::healthz));
    let mut api = open.merge(bearer).merge(probes);
    complete(api.get_openapi_mut());
    api
}

/// 401 of a Bearer route names the scheme (RFC 6750, section 3).
async fn challenge(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

/// Adds what is true of every operation.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    let scheme = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token."))
        .build();
    // What is taken from the manifest when nothing is said: nobody.
    document.info.contact = None;
    if let Some(components) = &mut document.components {
        components.add_security_scheme("bearerAuth", SecurityScheme::Http(scheme));
    }
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            describe_headers(operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

fn describe_headers(operation: &mut Operation) {
    let bearer = operation.security.iter().flatten().any(|requirement| {
        serde_json::to_value(requirement).is_ok_and(|v| v != serde_json::json!({}))
    });
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if let Some(RefOr::T(reach)) = response.headers.get_mut("x-revocation") {
            reach.description = Some(errors::REVOCATION.to_owned());
        }
        let mut add = |name: &str, text: &str| {
            let header = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .description(Some(text))
                .build();
            response.headers.insert(name.to_owned(), header.into());
        };
        add(
            "x-request-id",
            "The caller's, if it is 8 to 64 of `A-Z a-z 0-9 . _ -`, else a new one.",
        );
        if bearer && status == "401" {
            add("www-authenticate", "`Bearer`");
        }
    }
}
