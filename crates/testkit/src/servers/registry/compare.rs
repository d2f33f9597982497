//! Whether data of one schema can be read by another: the rules of Confluent's registry for
//! Protobuf (8.3.1), under its names.
//!
//! Allowed: fields, messages, enums, constants and oneofs that are new; fields, enums, constants and
//! whole oneofs that are gone or renamed; messages in another order; types within one wire group; no
//! label instead of any label.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

use super::schema::Schema;

/// What makes data written by `old` unreadable by `new`; nothing: they are compatible.
pub(super) fn differences(old: &Schema, new: &Schema) -> Vec<String> {
    let mut comparison = Comparison {
        old: types(old),
        new: types(new),
        old_file: &old.file,
        new_file: &new.file,
        compared: BTreeSet::new(),
        found: Vec::new(),
    };
    if old.file.package() != new.file.package() {
        comparison.found.push("PACKAGE_CHANGED #".to_owned());
    }
    comparison.messages(
        (&old.file.message_type, &old.file),
        (&new.file.message_type, &new.file),
        "#",
    );
    comparison.found
}

type Types<'a> = BTreeMap<String, (&'a FileDescriptorProto, &'a DescriptorProto)>;
type Fields<'a> = BTreeMap<i32, &'a FieldDescriptorProto>;
/// Something and the file that it stands in.
type In<'a, T> = (&'a T, &'a FileDescriptorProto);

struct Comparison<'a> {
    old: Types<'a>,
    new: Types<'a>,
    old_file: &'a FileDescriptorProto,
    new_file: &'a FileDescriptorProto,
    /// Pairs of imported messages that were compared.
    compared: BTreeSet<(String, String)>,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn messages(
        &mut self,
        (old, old_file): In<'a, Vec<DescriptorProto>>,
        (new, new_file): In<'a, Vec<DescriptorProto>>,
        path: &str,
    ) {
        for message in old.iter().filter(|message| !is_map_entry(message)) {
            let path = format!("{path}/{}", message.name());
            match new.iter().find(|other| other.name() == message.name()) {
                Some(other) => self.message((message, old_file), (other, new_file), &path),
                None => self.found.push(format!("MESSAGE_REMOVED {path}")),
            }
        }
    }

    fn message(
        &mut self,
        (old, old_file): In<'a, DescriptorProto>,
        (new, new_file): In<'a, DescriptorProto>,
        path: &str,
    ) {
        let (mut top, oneofs) = split(old);
        let (new_top, new_oneofs) = split(new);
        let were_in_one: BTreeSet<i32> = oneofs.values().flatten().map(|(at, _)| *at).collect();
        let none = Fields::new();
        for (name, fields) in &new_oneofs {
            let moved: Vec<i32> = fields
                .keys()
                .copied()
                .filter(|number| top.remove(number).is_some())
                .collect();
            if moved.len() > 1 {
                self.found
                    .push(format!("MULTIPLE_FIELDS_MOVED_TO_ONEOF {path}/{name}"));
            } else if !moved.is_empty() && fields.keys().any(|number| were_in_one.contains(number))
            {
                self.found
                    .push(format!("FIELD_MOVED_TO_EXISTING_ONEOF {path}/{name}"));
            }
            for (number, field) in oneofs.get(name).unwrap_or(&none) {
                let path = format!("{path}/{name}/{number}");
                match fields.get(number) {
                    Some(other) => self.field((field, old_file), (other, new_file), &path),
                    None => self.found.push(format!("ONEOF_FIELD_REMOVED {path}")),
                }
            }
        }
        let numbers: BTreeSet<i32> = top.keys().chain(new_top.keys()).copied().collect();
        for number in numbers {
            let path = format!("{path}/{number}");
            match (top.get(&number), new_top.get(&number)) {
                (Some(field), Some(other)) => {
                    self.field((field, old_file), (other, new_file), &path);
                }
                (Some(field), None) if field.label() == Label::Required => {
                    self.found.push(format!("REQUIRED_FIELD_REMOVED {path}"));
                }
                (None, Some(field)) if field.label() == Label::Required => {
                    self.found.push(format!("REQUIRED_FIELD_ADDED {path}"));
                }
                _ => {}
            }
        }
        self.messages(
            (&old.nested_type, old_file),
            (&new.nested_type, new_file),
            path,
        );
    }

    fn field(
        &mut self,
        (old, old_file): In<'a, FieldDescriptorProto>,
        (new, new_file): In<'a, FieldDescriptorProto>,
        path: &str,
    ) {
        let was = self.old.get(old.type_name()).copied();
        let is = self.new.get(new.type_name()).copied();
        match (was, is) {
            (None, None) => self.scalar((old, old_file), (new, new_file), path),
            (Some((_, was)), Some((_, is))) if is_map_entry(was) && is_map_entry(is) => {
                for (old, new) in was.field.iter().zip(&is.field) {
                    self.field((old, old_file), (new, new_file), path);
                }
            }
            (Some((was_file, was)), Some((is_file, is)))
                if !is_map_entry(was) && !is_map_entry(is) =>
            {
                if local(old.type_name(), was_file) != local(new.type_name(), is_file) {
                    self.found.push(format!("FIELD_NAMED_TYPE_CHANGED {path}"));
                    return;
                }
                // Messages of the schemas themselves are compared anyway.
                let own =
                    std::ptr::eq(was_file, self.old_file) && std::ptr::eq(is_file, self.new_file);
                let pair = (old.type_name().to_owned(), new.type_name().to_owned());
                if !own && self.compared.insert(pair) {
                    let before = self.found.len();
                    let imported = format!("#/{}", local(old.type_name(), was_file));
                    self.message((was, was_file), (is, is_file), &imported);
                    if self.found.len() > before {
                        self.found.push(format!("FIELD_NAMED_TYPE_CHANGED {path}"));
                    }
                }
            }
            _ => self.found.push(format!("FIELD_KIND_CHANGED {path}")),
        }
    }

    fn scalar(
        &mut self,
        (old, old_file): In<'a, FieldDescriptorProto>,
        (new, new_file): In<'a, FieldDescriptorProto>,
        path: &str,
    ) {
        let (was, is) = (group(old.r#type()), group(new.r#type()));
        if was != is {
            self.found
                .push(format!("FIELD_SCALAR_KIND_CHANGED {path} ({was} -> {is})"));
            return;
        }
        let labels = (label(old, old_file), label(new, new_file));
        if let (Some(was_label), Some(is_label)) = labels
            && was_label != is_label
            && was != "string or bytes"
        {
            self.found
                .push(format!("FIELD_NUMERIC_LABEL_CHANGED {path}"));
        }
    }
}

/// All messages by their full names.
fn types(schema: &Schema) -> Types<'_> {
    fn walk<'a>(
        found: &mut Types<'a>,
        prefix: &str,
        file: &'a FileDescriptorProto,
        messages: &'a [DescriptorProto],
    ) {
        for message in messages {
            let name = format!("{prefix}.{}", message.name());
            walk(found, &name, file, &message.nested_type);
            found.insert(name, (file, message));
        }
    }
    let mut found = Types::new();
    for file in schema.imports.iter().chain([&schema.file]) {
        let prefix = match file.package() {
            "" => String::new(),
            package => format!(".{package}"),
        };
        walk(&mut found, &prefix, file, &file.message_type);
    }
    found
}

/// Fields outside of a oneof, and those of each.
fn split(message: &DescriptorProto) -> (Fields<'_>, BTreeMap<&str, Fields<'_>>) {
    let (mut top, mut oneofs) = (Fields::new(), BTreeMap::<_, Fields<'_>>::new());
    for field in &message.field {
        let oneof = if in_oneof(field) {
            usize::try_from(field.oneof_index()).ok()
        } else {
            None
        };
        let fields = match oneof.and_then(|at| message.oneof_decl.get(at)) {
            Some(oneof) => oneofs.entry(oneof.name()).or_default(),
            None => &mut top,
        };
        fields.insert(field.number(), field);
    }
    (top, oneofs)
}

/// `optional` of proto3 is a oneof of its own, which nobody has written.
fn in_oneof(field: &FieldDescriptorProto) -> bool {
    field.oneof_index.is_some() && !field.proto3_optional()
}

/// As written: proto3 has fields without one.
fn label(field: &FieldDescriptorProto, file: &FileDescriptorProto) -> Option<Label> {
    if field.proto3_optional() {
        Some(Label::Optional)
    } else if field.label() == Label::Repeated {
        Some(Label::Repeated)
    } else if in_oneof(field) || file.syntax() == "proto3" {
        None
    } else {
        Some(field.label())
    }
}

/// The name within its package.
fn local<'a>(name: &'a str, file: &FileDescriptorProto) -> &'a str {
    let name = name.strip_prefix('.').unwrap_or(name);
    let within = name.strip_prefix(file.package()).unwrap_or(name);
    within.strip_prefix('.').unwrap_or(within)
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(MessageOptions::map_entry)
}

/// Types of one group read each other's bytes.
fn group(kind: Type) -> &'static str {
    match kind {
        Type::Int32 | Type::Uint32 | Type::Int64 | Type::Uint64 | Type::Bool | Type::Enum => {
            "varint"
        }
        Type::Sint32 | Type::Sint64 => "zigzag",
        Type::String | Type::Bytes => "string or bytes",
        Type::Fixed32 | Type::Sfixed32 => "fixed32",
        Type::Fixed64 | Type::Sfixed64 => "fixed64",
        Type::Float => "float",
        Type::Double => "double",
        Type::Message | Type::Group => "message",
    }
}
