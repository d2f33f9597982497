//! What is said at the start.

use sso_config::output::say;

use super::listeners::Addresses;
use crate::config::{Loaded, section::Grpc};

/// Prints addresses and links, and in development mode what is relaxed.
pub(super) fn show(loaded: &Loaded, addresses: &Addresses) {
    let Addresses { http, grpc, admin } = addresses;
    let off = || "off".to_owned();
    let admin_text = admin.map_or_else(off, |address| address.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %http, %grpc, admin = admin_text,
        database = %loaded.config.database.url,
        data_dir = %loaded.config.data_dir.display(),
        "ready"
    );
    let Grpc {
        require_caller,
        callers,
        ..
    } = &loaded.config.grpc;
    if *require_caller && callers.is_empty() {
        tracing::warn!(
            "grpc.require_caller is true and grpc.callers is empty: nobody can call auth.Auth"
        );
    }
    if !loaded.development {
        return;
    }
    let scheme = |tls: &Option<std::path::PathBuf>| if tls.is_some() { "https" } else { "http" };
    let http_scheme = scheme(&loaded.config.http.tls_cert);
    let grpc_scheme = scheme(&loaded.config.grpc.tls_cert);
    let passwords = &loaded.config.passwords;
    let common = if passwords.refuse_common {
        "refused"
    } else {
        "accepted"
    };
    let text = format!(
        "
sso {version}, development mode: not for production

  HTTP   {http_scheme}://{http}    Swagger UI  {http_scheme}://{http}/swagger/index.html
  gRPC   {grpc}          Swagger UI  {grpc_scheme}://{grpc}/sw/
  data   {data}

  Relaxed: passwords from {least} characters, common ones are {common}; what the admin
  listener has is on {http_scheme}://{http} (/metrics, /log-level, /profile); loopback
  only, other Host headers are refused.
  Any setting ends development mode; `sso config example` shows them all.

  curl -d '{{\"email\":\"test@test.com\",\"password\":\"test\"}}' \\
    -H 'content-type: application/json' {http_scheme}://{http}/auth/registration
",
        version = env!("CARGO_PKG_VERSION"),
        data = loaded.config.data_dir.display(),
        least = passwords.min_length,
    );
    say(text);
}
