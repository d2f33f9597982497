//! The REST interface: paths, bodies, and its errors.

use http::Method;
use serde_json::{Value, json};

use super::{
    schema::Schema,
    state::{LEVELS, Refused, State},
};

type Answer = Result<Value, Refused>;

/// One request without its transport.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    /// Decoded segments of the path.
    pub(super) path: Vec<&'a str>,
    pub(super) query: &'a str,
    /// `null`: none.
    pub(super) body: Value,
}

impl Asked<'_> {
    fn says(&self, name: &str) -> bool {
        let wanted = format!("{name}=true");
        self.query
            .split('&')
            .any(|pair| pair.eq_ignore_ascii_case(&wanted))
    }
}

pub(super) fn answer(state: &mut State, asked: &Asked<'_>) -> Answer {
    let deleted = asked.says("deleted");
    match (asked.method.as_str(), &*asked.path) {
        ("GET", [] | [""]) => Ok(json!({})),
        ("GET", ["subjects"]) => {
            let of = |subject: &&String| state.versions(subject, deleted).is_ok();
            Ok(json!(state.subjects.keys().filter(of).collect::<Vec<_>>()))
        }
        ("POST", ["subjects", subject]) => find(state, subject, asked),
        ("DELETE", ["subjects", subject]) => delete_subject(state, subject, asked),
        ("GET", ["subjects", subject, "versions"]) => {
            let versions = state.versions(subject, deleted)?;
            Ok(json!(versions.keys().collect::<Vec<_>>()))
        }
        ("POST", ["subjects", subject, "versions"]) => {
            let schema = parse(state, &asked.body)?;
            Ok(json!({ "id": state.register(subject, &schema)? }))
        }
        ("GET", ["subjects", subject, "versions", version]) => {
            let (number, version) = state.version(subject, version, deleted)?;
            let answer = json!({
                "subject": subject, "version": number, "id": version.id,
                "schemaType": "PROTOBUF", "schema": version.schema.text,
            });
            Ok(with_references(answer, &version.schema))
        }
        ("GET", ["subjects", subject, "versions", version, "referencedby"]) => {
            let (number, _) = state.version(subject, version, deleted)?;
            Ok(json!(state.referring(subject, number)))
        }
        ("DELETE", ["subjects", subject, "versions", version]) => {
            delete_version(state, subject, version, asked)
        }
        ("GET", ["schemas", "types"]) => Ok(json!(["PROTOBUF"])),
        ("GET", ["schemas", "ids", id]) => {
            // Java's, whose parameter is an `int`.
            let id: i32 = id
                .parse()
                .map_err(|_| Refused(404, "HTTP 404 Not Found".to_owned()))?;
            let known = u32::try_from(id).ok();
            let schema = known.and_then(|id| state.schemas.get(&id));
            let schema = schema.ok_or_else(|| Refused(40_403, format!("Schema {id} not found")))?;
            let answer = json!({ "schemaType": "PROTOBUF", "schema": schema.text });
            Ok(with_references(answer, schema))
        }
        (_, ["config", ..]) => config(state, asked),
        ("GET", ["mode", ..]) => Ok(json!({ "mode": "READWRITE" })),
        ("POST", ["compatibility", "subjects", subject, "versions", rest @ ..]) => {
            compatible(state, subject, rest, asked)
        }
        (_, ["subjects" | "schemas" | "mode" | "compatibility", ..]) => {
            Err(Refused(405, "HTTP 405 Method Not Allowed".to_owned()))
        }
        _ => Err(Refused(404, "HTTP 404 Not Found".to_owned())),
    }
}

fn parse(state: &State, body: &Value) -> Result<Schema, Refused> {
    if body.is_null() {
        return Err(Refused(422, "The request body must not be null".to_owned()));
    }
    if !body.is_object() {
        return Err(Refused(400, "Cannot deserialize the request".to_owned()));
    }
    let text = body["schema"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Err(Refused(42_201, "Empty schema".to_owned()));
    }
    if body["schemaType"] != "PROTOBUF" {
        return Err(Refused(
            42_201,
            "Invalid schema: only PROTOBUF is supported by this registry of tests".to_owned(),
        ));
    }
    state.compile(text, &body["references"])
}

/// An answer with a schema's references, if it has any.
fn with_references(mut answer: Value, schema: &Schema) -> Value {
    if !schema.references.is_empty() {
        answer["references"] = json!(schema.references);
    }
    answer
}

fn find(state: &State, subject: &str, asked: &Asked<'_>) -> Answer {
    let schema = parse(state, &asked.body)?;
    let versions = state.versions(subject, asked.says("deleted"))?;
    let found = versions
        .iter()
        .find(|(_, version)| version.schema.same(&schema));
    let (number, version) = found.ok_or_else(|| Refused(40_403, "Schema not found".to_owned()))?;
    let answer = json!({
        "subject": subject, "version": number, "id": version.id,
        "schemaType": "PROTOBUF", "schema": version.schema.text,
    });
    Ok(with_references(answer, &version.schema))
}

fn delete_version(state: &mut State, subject: &str, wanted: &str, asked: &Asked<'_>) -> Answer {
    let permanent = asked.says("permanent");
    let by_number = wanted.parse::<u32>().is_ok();
    let (number, version) = state.version(subject, wanted, by_number || permanent)?;
    if version.deleted && !permanent {
        return Err(Refused(
            40_406,
            format!(
                "Subject '{subject}' Version {wanted} was soft deleted.Set permanent=true to \
                 delete permanently"
            ),
        ));
    }
    if permanent && !version.deleted {
        return Err(Refused(
            40_407,
            format!(
                "Subject '{subject}' Version {wanted} was not deleted first before being \
                 permanently deleted"
            ),
        ));
    }
    state.delete(subject, number, &version, permanent)?;
    Ok(json!(number))
}

fn delete_subject(state: &mut State, subject: &str, asked: &Asked<'_>) -> Answer {
    let permanent = asked.says("permanent");
    let mut versions = state.versions(subject, true)?;
    versions.retain(|_, version| permanent || !version.deleted);
    if versions.is_empty() {
        return Err(Refused(
            40_404,
            format!(
                "Subject '{subject}' was soft deleted.Set permanent=true to delete permanently"
            ),
        ));
    }
    if permanent && versions.values().any(|version| !version.deleted) {
        return Err(Refused(
            40_405,
            format!("Subject '{subject}' was not deleted first before being permanently deleted"),
        ));
    }
    for (number, version) in &versions {
        state.delete(subject, *number, version, permanent)?;
    }
    Ok(json!(versions.keys().collect::<Vec<_>>()))
}

fn config(state: &mut State, asked: &Asked<'_>) -> Answer {
    let subject = asked.path.get(1).copied().unwrap_or_default();
    let key = json!({ "keytype": "CONFIG", "subject": subject, "magic": 0 });
    match asked.method.as_str() {
        "GET" if subject.is_empty() => Ok(json!({ "compatibilityLevel": state.level("") })),
        "GET" if state.levels.contains_key(subject) || asked.says("defaultToGlobal") => {
            Ok(json!({ "compatibilityLevel": state.level(subject) }))
        }
        "GET" => Err(Refused(
            40_408,
            format!("Subject '{subject}' does not have subject-level compatibility configured"),
        )),
        "PUT" => {
            let level = asked.body["compatibility"].as_str().unwrap_or_default();
            let level = level.to_uppercase();
            if !LEVELS.contains(&&*level) {
                return Err(Refused(
                    42_203,
                    "Invalid compatibility level. Valid values are none, backward, forward, full, \
                     backward_transitive, forward_transitive, and full_transitive"
                        .to_owned(),
                ));
            }
            state.put(&key, &json!({ "compatibilityLevel": level }))?;
            Ok(json!({ "compatibility": level }))
        }
        "DELETE" if !subject.is_empty() && !state.levels.contains_key(subject) => {
            Err(Refused(40_401, format!("Subject '{subject}' not found.")))
        }
        "DELETE" => {
            let old = state.level(subject).to_owned();
            state.put(&key, &Value::Null)?;
            Ok(json!({ "compatibilityLevel": old }))
        }
        _ => Err(Refused(405, "HTTP 405 Method Not Allowed".to_owned())),
    }
}

fn compatible(state: &State, subject: &str, rest: &[&str], asked: &Asked<'_>) -> Answer {
    let beside = match rest {
        [] => None,
        [wanted, ..] => match state.version(subject, wanted, false) {
            Ok(found) => Some(found),
            Err(error) if error.0 == 42_202 => return Err(error),
            // The latest of a new subject: everything is compatible.
            Err(_) if wanted.parse::<u32>().is_err() => None,
            Err(error) => return Err(Refused(40_402, error.1)),
        },
    };
    let verbose = asked.says("verbose");
    let objections = match parse(state, &asked.body) {
        Ok(schema) => state.objections(subject, &schema, beside),
        Err(error) if error.0 == 42_201 && verbose => vec![error.1],
        Err(error) => return Err(error),
    };
    let mut answer = json!({ "is_compatible": objections.is_empty() });
    if verbose {
        answer["messages"] = json!(objections);
    }
    Ok(answer)
}
