//! `grpc.callers`.

use super::*;

#[test]
fn callers_are_required_off_loopback_unless_it_is_written_otherwise() {
    let required = |given: &Given| given.good().config.grpc.require_caller;
    assert!(!required(&nothing()));
    let open = nothing().env("SSO__GRPC__LISTEN", "0.0.0.0:44044");
    assert!(required(&open));
    assert!(!required(&open.env("SSO__GRPC__REQUIRE_CALLER", "false")));
    let loopback = nothing().env("SSO__GRPC__REQUIRE_CALLER", "true");
    assert!(required(&loopback));
}

/// Of the token "abc".
const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn callers_are_read_from_tables_and_from_one_line() {
    let tables = file(&format!(
        "[grpc]\nrequire_caller = true\n\
         [[grpc.callers]]\nname = 'shop'\ntoken_sha256 = '{DIGEST}'\nscopes = ['auth']\n\
         [[grpc.callers]]\nname = 'desk'\ncertificate = 'desk.internal'\n\
         scopes = ['users:admin', 'events:admin']\n"
    ));
    let line = format!(
        "[{{ name = 'shop', token_sha256 = '{DIGEST}', scopes = ['auth'] }}, \
         {{ name = 'desk', certificate = 'desk.internal', \
         scopes = ['users:admin', 'events:admin'] }}]"
    );
    let read = |given: &Given| given.good().config.grpc.callers;
    let callers = read(&tables);
    let names: Vec<_> = callers.iter().map(|caller| caller.name.as_str()).collect();
    assert_eq!(names, ["shop", "desk"]);
    assert_eq!(read(&nothing().env("SSO__GRPC__CALLERS", &line)), callers);
    assert_eq!(read(&nothing().flag("grpc.callers", &line)), callers);
    assert!(read(&nothing().env("SSO__GRPC__CALLERS", "")).is_empty());

    let shown = show(&tables.good());
    let expected = "callers = [{ name = \"shop\", token_sha256 = \"<set>\", scopes = [\"auth\"] }";
    assert!(shown.contains(expected), "{shown}");
    let loaded = format!("{:?}", tables.good());
    assert!(
        !loaded.contains("ba7816") && !loaded.contains("186, 120"),
        "{loaded}"
    );
}

#[test]
fn everything_that_is_wrong_with_callers_is_told_and_no_value() {
    let given = file(&format!(
        "[[grpc.callers]]\nname = 'sh op'\ntoken_sha256 = 'hunter2'\nscope = ['auth']\n\
         [[grpc.callers]]\nscopes = ['everything']\n\
         [[grpc.callers]]\nname = 'a'\ntoken_sha256 = '{DIGEST}'\nscopes = ['auth']\n\
         [[grpc.callers]]\nname = 'a'\ntoken_sha256 = '{DIGEST}'\nscopes = ['auth']\n\
         certificate = ''\n"
    ));
    assert_snapshot!(given.problems().replace("; caller", ";\ncaller"), @r"
    grpc.callers (sso.toml:1): caller 1: scope: unknown key; did you mean scopes?;
    caller 1: name must be a name of 1 to 64 letters, digits, dots, hyphens or underscores;
    caller 1: token_sha256 must be the SHA-256 of the token in hex (64 digits) or base64, and the token not empty;
    caller 1: scopes must be a list, each auth, revocations:read, users:admin, events:admin or audit:read;
    caller 2: name must be a name of 1 to 64 letters, digits, dots, hyphens or underscores;
    caller 2: token_sha256 or certificate must say how it is known;
    caller 2: scopes must be a list, each auth, revocations:read, users:admin, events:admin or audit:read;
    caller 4: certificate must be a name of 1 to 255 characters as it stands in the certificate;
    caller 4: name is also another caller's;
    caller 4: token_sha256 is also another caller's
    ");
    for bad in ["shop", "[1]", "[{", "{}", "[[]]"] {
        let given = nothing().env("SSO__GRPC__CALLERS", bad);
        assert_eq!(
            given.problems(),
            "grpc.callers (SSO__GRPC__CALLERS): must be a list of up to 256 tables, each with \
             name, token_sha256 or certificate, and scopes",
            "{bad}"
        );
    }
}
