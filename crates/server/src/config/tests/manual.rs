//! What is generated from the sections.

use super::*;

#[test]
fn the_bounds_of_every_key_hold_its_default() {
    let catalogue = Catalogue::new::<Config>();
    let properties = |json: &serde_json::Value| json["properties"].as_object().unwrap().clone();
    let leaves: usize = properties(&schema())
        .values()
        .map(|part| {
            if part["type"] == "object" {
                properties(part).len()
            } else {
                1
            }
        })
        .sum();
    assert_eq!(
        catalogue.keys().count(),
        leaves,
        "a key has a shape that is not understood"
    );
    for key in catalogue.keys() {
        assert!(key.text.ends_with('.'), "{} has no manual", key.path);
        if let Some(default) = &key.default {
            let raw = Raw::Toml(default.clone());
            assert_eq!(key.kind.read(raw).as_ref(), Some(default), "{}", key.path);
        }
    }
}

#[test]
fn the_example_uncommented_is_the_default() {
    let text = example_toml();
    let live: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let set = live
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        .count();
    let keys = Catalogue::new::<Config>()
        .keys()
        .filter(|key| key.default.is_some())
        .count();
    assert_eq!(set, keys);
    let loaded = file(&live).good();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(file(&text).good().config, Config::default());
    assert!(matches!(loaded.origins.of("http.listen"), Origin::File(..)));
}

#[test]
fn what_is_shown_loads_as_the_same() {
    let given = file("[http]\nlisten = '127.0.0.1:9'\n").env("SSO__TOKENS__AUDIENCE", "a,b");
    let loaded = given.good();
    let shown = show(&loaded);
    assert_eq!(file(&shown).good().config, loaded.config);
    let origins = shown.replace(given.folder.path().to_str().unwrap(), "");
    for line in [
        "listen = \"127.0.0.1:9\" # /sso.toml:2",
        "public_url = \"http://127.0.0.1:9\" # from http.listen",
        "audience = [\"a\", \"b\"] # SSO__TOKENS__AUDIENCE",
        "drain_timeout = \"20s\" # default",
        "# master_key is not set",
    ] {
        assert!(origins.lines().any(|l| l == line), "{line} in\n{origins}");
    }
}

#[test]
fn the_manual_and_the_schema_have_every_key() {
    let manual = manual_md();
    for key in Catalogue::new::<Config>().keys() {
        let heading = format!("\n### `{}`\n", key.path);
        assert!(manual.contains(&heading), "{heading}");
        assert!(manual.contains(&format!("- Variable: `{}`\n", key.variable)));
    }
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["additionalProperties"], false);
    let http = &schema["properties"]["http"];
    assert_eq!(http["additionalProperties"], false);
    assert_eq!(http["properties"]["request_timeout"]["default"], "10s");
}
