//! Subjects, versions, ids, levels: in memory, and in the topic where there is one.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    compare::differences,
    schema::{Reference, Schema},
};
use crate::servers::kafka::{Record, client};

/// Where the records lie, as in Confluent's registry.
pub(super) const TOPIC: &str = "_schemas";
pub(super) const LEVELS: [&str; 7] = [
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
    "NONE",
];

/// An error of the REST interface: its `error_code` and message.
#[derive(Debug)]
pub(super) struct Refused(pub(super) u32, pub(super) String);

/// A version of a subject.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: u32,
    pub(super) schema: Arc<Schema>,
    pub(super) deleted: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Without one, nothing survives [`super::Registry::lose_data`] or the process.
    pub(super) brokers: Option<String>,
    pub(super) subjects: BTreeMap<String, BTreeMap<u32, Version>>,
    /// By subject; `""` is everybody's.
    pub(super) levels: BTreeMap<String, String>,
    pub(super) schemas: BTreeMap<u32, Arc<Schema>>,
}

impl State {
    /// Reads what the topic holds.
    pub(super) fn replay(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            let key = serde_json::from_slice(record.key.as_deref().context("no key")?)?;
            let value = record.value.as_deref().unwrap_or(b"null");
            self.apply(&key, &serde_json::from_slice(value)?)?;
        }
        Ok(())
    }

    /// Writes first, then obeys.
    pub(super) fn put(&mut self, key: &Value, value: &Value) -> Result<(), Refused> {
        let failed = |error: anyhow::Error| {
            Refused(50_001, format!("Error in the backend data store: {error}"))
        };
        if let Some(brokers) = &self.brokers {
            let (key, value) = (key.to_string(), value.to_string());
            client::produce_blocking(brokers, TOPIC, key.as_bytes(), value.as_bytes(), &[])
                .map_err(failed)?;
        }
        self.apply(key, value).map_err(failed)
    }

    fn apply(&mut self, key: &Value, value: &Value) -> Result<()> {
        let subject = key["subject"].as_str().unwrap_or_default().to_owned();
        if key["keytype"] == "CONFIG" {
            match value["compatibilityLevel"].as_str() {
                Some(level) => self.levels.insert(subject, level.to_owned()),
                None => self.levels.remove(&subject),
            };
            return Ok(());
        }
        let number = u32::try_from(key["version"].as_u64().context("no version")?)?;
        if value.is_null() {
            self.subjects.entry(subject).or_default().remove(&number);
            return Ok(());
        }
        let id = u32::try_from(value["id"].as_u64().context("no id")?)?;
        let text = value["schema"].as_str().context("no schema")?;
        let schema = if let Some(known) = self.schemas.get(&id) {
            Arc::clone(known)
        } else {
            let schema = self.compile(text, &value["references"]);
            Arc::new(schema.map_err(|refused| anyhow::anyhow!(refused.1))?)
        };
        self.schemas
            .entry(id)
            .or_insert_with(|| Arc::clone(&schema));
        let version = Version {
            id,
            schema,
            deleted: value["deleted"] == true,
        };
        self.subjects
            .entry(subject)
            .or_default()
            .insert(number, version);
        Ok(())
    }

    /// Compiles a text with what it refers to.
    pub(super) fn compile(&self, text: &str, references: &Value) -> Result<Schema, Refused> {
        let invalid = |why: String| {
            let text = format!("Invalid schema of type PROTOBUF, details: {why}");
            Refused(42_201, text)
        };
        let references: Vec<Reference> = match references {
            Value::Null => Vec::new(),
            some => serde_json::from_value(some.clone()).map_err(|e| invalid(e.to_string()))?,
        };
        let mut files = Vec::new();
        for reference in &references {
            let Reference {
                name,
                subject,
                version,
            } = reference;
            let found = self.version(subject, &version.to_string(), true);
            let (_, found) = found.map_err(|_| {
                invalid(format!(
                    "No schema reference found for subject \"{subject}\" and version {version}"
                ))
            })?;
            files.push((name.clone(), found.schema.text.clone()));
            files.extend(found.schema.files.iter().cloned());
        }
        Schema::with(text, references, files).map_err(invalid)
    }

    /// The ids of the schemas that refer to a version.
    pub(super) fn referring(&self, subject: &str, number: u32) -> Vec<u32> {
        let all = self.subjects.values().flat_map(BTreeMap::values);
        let refers = |version: &&Version| {
            let mut references = version.schema.references.iter();
            !version.deleted && references.any(|to| to.subject == subject && to.version == number)
        };
        all.filter(refers).map(|version| version.id).collect()
    }

    /// The versions of a subject, with the deleted ones or without.
    pub(super) fn versions(
        &self,
        subject: &str,
        deleted: bool,
    ) -> Result<BTreeMap<u32, Version>, Refused> {
        let all = self.subjects.get(subject).into_iter().flatten();
        let found: BTreeMap<_, _> = all
            .filter(|(_, version)| deleted || !version.deleted)
            .map(|(number, version)| (*number, version.clone()))
            .collect();
        if found.is_empty() {
            return Err(Refused(40_401, format!("Subject '{subject}' not found.")));
        }
        Ok(found)
    }

    /// A version by its number, `latest` or `-1`.
    pub(super) fn version(
        &self,
        subject: &str,
        wanted: &str,
        deleted: bool,
    ) -> Result<(u32, Version), Refused> {
        let latest = matches!(wanted, "latest" | "-1");
        let number = wanted
            .parse::<u32>()
            .ok()
            .filter(|number| (1..=0x7fff_ffff).contains(number));
        if !latest && number.is_none() {
            return Err(Refused(
                42_202,
                format!(
                    "The specified version '{wanted}' is not a valid version id. Allowed values \
                     are between [1, 2^31-1] and the string \"latest\""
                ),
            ));
        }
        let versions = self.versions(subject, deleted)?;
        let found = match number {
            Some(number) => versions.get_key_value(&number),
            None => versions.last_key_value(),
        };
        let (number, version) =
            found.ok_or_else(|| Refused(40_402, format!("Version {wanted} not found.")))?;
        Ok((*number, version.clone()))
    }

    /// The level that a subject has, of its own or by default.
    pub(super) fn level(&self, subject: &str) -> &str {
        let own = self.levels.get(subject);
        own.or_else(|| self.levels.get(""))
            .map_or("BACKWARD", String::as_str)
    }

    /// What the subject's level says against a schema: beside one version, or those it asks for.
    pub(super) fn objections(
        &self,
        subject: &str,
        schema: &Schema,
        beside: Option<(u32, Version)>,
    ) -> Vec<String> {
        let level = self.level(subject);
        let mut olds: Vec<_> = match beside {
            Some(one) => vec![one],
            None => self
                .versions(subject, false)
                .unwrap_or_default()
                .into_iter()
                .collect(),
        };
        if level == "NONE" {
            return Vec::new();
        }
        olds.reverse();
        if !level.ends_with("_TRANSITIVE") {
            olds.truncate(1);
        }
        let mut found = Vec::new();
        for (number, old) in olds {
            let tell = |difference: String| format!("{difference} (version {number})");
            if !level.starts_with("FORWARD") {
                found.extend(differences(&old.schema, schema).into_iter().map(tell));
            }
            if !level.starts_with("BACKWARD") {
                found.extend(differences(schema, &old.schema).into_iter().map(tell));
            }
        }
        found
    }

    /// Stores a schema unless the subject has it; its id.
    pub(super) fn register(&mut self, subject: &str, schema: &Schema) -> Result<u32, Refused> {
        let known = self.versions(subject, false).unwrap_or_default();
        if let Some(known) = known.values().find(|known| known.schema.same(schema)) {
            return Ok(known.id);
        }
        let objections = self.objections(subject, schema, None);
        if !objections.is_empty() {
            return Err(Refused(
                409,
                format!(
                    "Schema being registered is incompatible with an earlier schema for subject \
                     \"{subject}\", details: {objections:?}"
                ),
            ));
        }
        let same = self.schemas.iter().find(|(_, known)| known.same(schema));
        let id = match same {
            Some((id, _)) => *id,
            None => self.schemas.last_key_value().map_or(1, |(id, _)| id + 1),
        };
        let all = self.subjects.get(subject).into_iter().flatten();
        let number = all.map(|(number, _)| *number).max().unwrap_or(0) + 1;
        let version = Version {
            id,
            schema: Arc::new(schema.clone()),
            deleted: false,
        };
        self.put(
            &version_key(subject, number),
            &record(subject, number, &version),
        )?;
        Ok(id)
    }

    /// Marks a version as deleted, or deletes it for good.
    pub(super) fn delete(
        &mut self,
        subject: &str,
        number: u32,
        version: &Version,
        permanent: bool,
    ) -> Result<(), Refused> {
        if !self.referring(subject, number).is_empty() {
            let key = format!("{{magic=1,keytype=SCHEMA,subject={subject},version={number}}}");
            let text = format!("One or more references exist to the schema {key}.");
            return Err(Refused(42_206, text));
        }
        let marked = Version {
            deleted: true,
            ..version.clone()
        };
        let value = if permanent {
            Value::Null
        } else {
            record(subject, number, &marked)
        };
        self.put(&version_key(subject, number), &value)
    }
}

fn version_key(subject: &str, number: u32) -> Value {
    json!({ "keytype": "SCHEMA", "subject": subject, "version": number, "magic": 1 })
}

fn record(subject: &str, number: u32, version: &Version) -> Value {
    json!({
        "subject": subject,
        "version": number,
        "id": version.id,
        "schemaType": "PROTOBUF",
        "references": version.schema.references,
        "schema": version.schema.text,
        "deleted": version.deleted,
    })
}
