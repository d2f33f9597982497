//! All keys, read from the JSON schema that the sections have.

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::{Sections, kind::Kind};

/// All keys, by section.
#[derive(Debug)]
pub struct Catalogue {
    /// The keys without a section are the first one's, whose name is empty.
    pub sections: Vec<Section>,
}

/// The keys of a section.
#[derive(Debug)]
pub struct Section {
    /// Its name; the root's is empty.
    pub name: String,
    /// Its manual.
    pub text: String,
    /// In the order of the struct.
    pub keys: Vec<Key>,
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// `http.listen`.
    pub path: String,
    /// `listen`.
    pub name: String,
    /// What its value may be.
    pub kind: Kind,
    /// Of its own; `None`: there is none.
    pub default: Option<Value>,
    /// Its manual.
    pub text: String,
    /// Its value is not shown, and may be given in a file that `<path>_file` names.
    pub secret: bool,
    /// `SSO__HTTP__LISTEN`.
    pub variable: String,
}

impl Key {
    /// The key whose value stands in the file that the secret's twin names.
    pub fn file_twin(&self) -> Option<String> {
        self.secret.then(|| format!("{}_file", self.path))
    }
}

impl Catalogue {
    /// Reads the schema. A shape that is not understood is left out; a test counts them.
    pub fn new<C: Sections>() -> Self {
        let schema = schema::<C>();
        let defaults = Table::try_from(C::default()).unwrap_or_default();
        let mut root = Section {
            name: String::new(),
            text: String::new(),
            keys: Vec::new(),
        };
        let mut sections = Vec::new();
        for (name, schema) in in_order(&schema, &defaults) {
            if schema["type"] == "object" {
                sections.push(Section::new(C::PREFIX, name, schema, defaults.get(name)));
            } else {
                root.keys
                    .extend(Key::new(C::PREFIX, "", name, schema, defaults.get(name)));
            }
        }
        sections.insert(0, root);
        Self { sections }
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.sections.iter().flat_map(|section| &section.keys)
    }

    /// The key of this path.
    pub fn key(&self, path: &str) -> Option<&Key> {
        self.keys().find(|key| key.path == path)
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

impl Section {
    fn new(prefix: &str, name: &str, schema: &Json, defaults: Option<&Value>) -> Self {
        let empty = Table::new();
        let defaults = defaults.and_then(Value::as_table).unwrap_or(&empty);
        Self {
            name: name.to_owned(),
            text: description(schema),
            keys: in_order(schema, defaults)
                .into_iter()
                .filter_map(|(key, schema)| Key::new(prefix, name, key, schema, defaults.get(key)))
                .collect(),
        }
    }
}

impl Key {
    fn new(
        prefix: &str,
        section: &str,
        name: &str,
        schema: &Json,
        default: Option<&Value>,
    ) -> Option<Self> {
        let dot = if section.is_empty() { "" } else { "." };
        let path = format!("{section}{dot}{name}");
        Some(Self {
            variable: format!("{prefix}{}", path.replace('.', "__").to_uppercase()),
            path,
            name: name.to_owned(),
            kind: Kind::of_schema(schema)?,
            default: default.cloned(),
            text: description(schema),
            secret: schema["writeOnly"] == true,
        })
    }
}

/// The JSON schema of the file (draft 2020-12).
pub(crate) fn schema<C: Sections>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<C>();
    schema.insert(
        "title".to_owned(),
        format!("Configuration of {}", C::PROGRAM).into(),
    );
    schema.to_value()
}

/// Properties in the order of the struct. JSON objects lose it, the defaults have kept it; those
/// without a default come last.
fn in_order<'a>(schema: &'a Json, defaults: &Table) -> Vec<(&'a str, &'a Json)> {
    let place = |name: &str| defaults.keys().position(|key| key == name);
    let mut properties: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema))
        .collect();
    properties.sort_by_key(|(name, _)| (place(name).unwrap_or(usize::MAX), *name));
    properties
}

fn description(schema: &Json) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
