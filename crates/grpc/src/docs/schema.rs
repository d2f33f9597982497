//! JSON schemas of messages, as proto3 writes them in JSON.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comment;

/// Schemas by the full names of their messages.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// A reference to a message's schema, which is added with all that it contains.
    pub(super) fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.full_name();
        if !self.0.contains_key(name) {
            // Before its members, which may contain it.
            self.0.insert(name.to_owned(), Value::Null);
            let schema = self.message(message);
            self.0.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// Adds a schema written by hand.
    pub(super) fn insert(&mut self, name: &str, schema: Value) {
        self.0.insert(name.to_owned(), schema);
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0.into_iter().collect())
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let file = message.parent_file();
        let comment = Comment::at(file.file_descriptor_proto(), message.path());
        let (mut properties, mut required, mut example) = (Map::new(), Vec::new(), Map::new());
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in fields {
            let comment = Comment::at(file.file_descriptor_proto(), field.path());
            let name = field.json_name();
            let mut schema = self.field(&field);
            if comment.is_required() {
                required.push(name.to_owned());
                // proto3 cannot tell an empty string from one that is missing.
                if matches!(field.kind(), Kind::String) && !field.is_list() {
                    schema["minLength"] = json!(1);
                }
            }
            describe(&mut schema, &comment);
            if let Some(value) = comment.example.map(|text| value_of(&field, text)) {
                schema["examples"] = json!([value]);
                example.insert(name.to_owned(), value);
            }
            properties.insert(name.to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        describe(&mut schema, &comment);
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if !example.is_empty() {
            schema["examples"] = json!([example]);
        }
        schema
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        let one = self.kind(&field.kind());
        if field.is_list() {
            return json!({ "type": "array", "items": one });
        }
        one
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::String => json!({ "type": "string" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0 }),
            // Beyond what a double holds: in JSON they are strings.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64" })
            }
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Enum(values) => {
                let names: Vec<_> = values.values().map(|v| v.name().to_owned()).collect();
                json!({ "type": "string", "enum": names })
            }
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.Duration" => json!({ "type": "string" }),
                _ => self.reference(message),
            },
        }
    }
}

fn describe(schema: &mut Value, comment: &Comment) {
    if !comment.text.is_empty() {
        schema["description"] = json!(comment.text);
    }
}

fn value_of(field: &FieldDescriptor, text: String) -> Value {
    match field.kind() {
        Kind::Bool | Kind::Int32 | Kind::Uint32 | Kind::Double | Kind::Float => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        _ => Value::String(text),
    }
}
