use serde_json::{Value, json};

use crate::document::{DOCUMENT, examples_of, operations, resolve};

#[test]
fn the_document_is_openapi_3_1_with_licence_version_and_scheme() {
    let document = &*DOCUMENT;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1."))
    );
    assert_eq!(document["info"]["title"], "sso");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["info"]["license"]["name"], "Apache-2.0 OR MIT");
    let scheme = &document["components"]["securitySchemes"]["bearerAuth"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
}

#[test]
fn every_operation_has_a_summary_a_tag_of_the_list_an_id_and_says_who_may_call() {
    let tags: Vec<_> = DOCUMENT["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    for (path, method, operation) in operations() {
        let at = format!("{method} {path}");
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|text| text.len() > 5),
            "{at}"
        );
        assert!(tags.contains(&&operation["tags"][0]), "{at}");
        assert!(operation["operationId"].is_string(), "{at}");
        let bearer = operation["security"].to_string().contains("bearerAuth");
        assert_eq!(bearer, operation["tags"][0] == "me", "{at}");
    }
}

#[test]
fn every_body_of_a_request_and_of_an_error_has_examples() {
    for (path, method, operation) in operations() {
        if let Some(body) = operation.get("requestBody") {
            assert!(
                !examples_of(&body["content"]["application/json"]).is_empty(),
                "{method} {path}"
            );
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let content = &response["content"]["application/json"];
            assert!(content["schema"].is_object(), "{method} {path} {status}");
            if status.starts_with('2') {
                let example = &resolve(&content["schema"])["example"];
                assert!(example.is_object(), "{method} {path} {status}");
            }
            if status.starts_with(['4', '5']) {
                let examples = examples_of(content);
                assert!(!examples.is_empty(), "{method} {path} {status}");
                assert!(examples.iter().all(|example| example["code"].is_string()));
            }
        }
    }
}

#[test]
fn every_reference_points_somewhere() {
    fn walk(value: &'static Value, count: &mut usize) {
        match value {
            Value::Object(members) => {
                if members.contains_key("$ref") {
                    resolve(value);
                    *count += 1;
                }
                members.values().for_each(|member| walk(member, count));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, count)),
            _ => {}
        }
    }
    let mut count = 0;
    walk(&DOCUMENT, &mut count);
    assert!(count > 50, "{count} references");
}
