//! Schemas that were released stay readable for ever.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use sso_kafka::REGISTRATION_SCHEMA;
use sso_testkit::servers::registry::differences;

/// `1.proto`, `2.proto`, ..: one for each version that was released.
const RELEASED: &str = "../../proto/registration/v1/released";

fn released() -> Result<BTreeMap<u32, String>> {
    let mut all = BTreeMap::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(RELEASED))? {
        let path = file?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "proto")
        {
            continue;
        }
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        let number = number.with_context(|| format!("{} has no number", path.display()))?;
        all.insert(number, fs::read_to_string(&path)?);
    }
    Ok(all)
}

#[test]
fn the_schema_may_follow_every_one_that_was_released() -> Result<()> {
    let released = released()?;
    ensure!(!released.is_empty(), "none was released");
    let newest = REGISTRATION_SCHEMA.to_owned();
    let versions: Vec<_> = released.values().chain([&newest]).collect();
    for (at, new) in versions.iter().enumerate() {
        for old in &versions[..at] {
            let found = differences(old, new)?;
            assert!(
                found.is_empty(),
                "version {} may not follow: {found:?}",
                at + 1
            );
        }
    }
    Ok(())
}

#[test]
fn a_change_that_breaks_readers_is_noticed() -> Result<()> {
    for (from, to, told) in [
        (
            "string Email = 1;",
            "int64 Email = 1;",
            "FIELD_SCALAR_KIND_CHANGED #/RegistrationMessage/1",
        ),
        (
            "package Registration.v1;",
            "package registration.v1;",
            "PACKAGE_CHANGED #",
        ),
        (
            "message RegistrationMessage",
            "message Registered",
            "MESSAGE_REMOVED #/RegistrationMessage",
        ),
        (
            "google.protobuf.Timestamp registered_at",
            "int64 registered_at",
            "FIELD_KIND_CHANGED #/RegistrationMessage/5",
        ),
    ] {
        assert!(REGISTRATION_SCHEMA.contains(from), "{from}");
        let found = differences(REGISTRATION_SCHEMA, &REGISTRATION_SCHEMA.replace(from, to))?;
        assert!(
            found.iter().any(|found| found.starts_with(told)),
            "{found:?}"
        );
    }
    for (from, to) in [
        ("string type = 6;", "string type = 6; string locale = 7;"),
        ("string FullName = 2;", ""),
        ("string Email = 1;", "bytes Email = 1;"),
    ] {
        let found = differences(REGISTRATION_SCHEMA, &REGISTRATION_SCHEMA.replace(from, to))?;
        assert_eq!(found, Vec::<String>::new(), "{to}");
    }
    Ok(())
}
