//! From sources to a configuration, or to all of their problems.

use std::{collections::BTreeMap, path::PathBuf};

use toml::{Table, Value};

use crate::{
    Sections,
    catalogue::{Catalogue, Key},
    kind::Raw,
    problems::Problems,
    sources::{Origin, Origins, Settings, Sources, read_text},
};

/// Longest file with a secret in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub struct Loaded<C> {
    /// The values in force.
    pub config: C,
    /// Whether this is development mode.
    pub development: bool,
    /// Where each value comes from.
    pub origins: Origins,
}

/// Values of their types, each where it came from.
type Values = BTreeMap<String, (Value, Origin)>;

/// Loads the configuration. Opens the configuration file and those with secrets, and touches
/// nothing else.
pub fn load<C: Sections>(sources: Sources) -> Result<Loaded<C>, Problems> {
    let catalogue = Catalogue::new::<C>();
    let development = sources.is_development::<C>();
    let mut problems = Problems::default();
    let settings = sources.read::<C>(&catalogue, &mut problems);
    let mut values = type_check(&catalogue, settings, &mut problems);
    for key in catalogue.keys() {
        resolve_secret(key, &mut values, &mut problems);
    }
    let mut origins = Origins::default();
    for (path, (_, origin)) in &values {
        origins.set(path, origin.clone());
    }
    let mut config: C = parse(values, &mut problems);
    config.derive(&mut Derived {
        origins: &mut origins,
        problems: &problems,
    });
    config.validate(&mut Rules {
        development,
        origins: &origins,
        problems: &mut problems,
    });
    problems.unless_any(Loaded {
        config,
        development,
        origins,
    })
}

/// Reads each value as its kind; those that are of another one are a problem and left out.
fn type_check(catalogue: &Catalogue, mut settings: Settings, problems: &mut Problems) -> Values {
    let mut values = Values::new();
    for key in catalogue.keys() {
        let Some((raw, origin)) = settings.remove(&key.path) else {
            continue;
        };
        match key.kind.read(raw) {
            Some(value) => {
                values.insert(key.path.clone(), (value, origin));
            }
            None => problems.of_key(&key.path, origin, format!("must be {}", key.kind)),
        }
    }
    values
}

/// Takes a secret from the file that its twin names. Of the two the one of the later source is in force;
/// both from one are a problem.
fn resolve_secret(key: &Key, values: &mut Values, problems: &mut Problems) {
    let Some(twin) = key.file_twin() else {
        return;
    };
    let Some((Value::String(file), named_by)) = values.get(&twin).cloned() else {
        return;
    };
    if let Some((_, origin)) = values.get(&key.path)
        && origin.rank() >= named_by.rank()
    {
        if origin.rank() > named_by.rank() {
            values.remove(&twin);
            return;
        }
        let text = format!("is set beside {twin} ({named_by}): one of them must go");
        return problems.of_key(&key.path, origin.clone(), text);
    }
    let file = PathBuf::from(file);
    let text = match read_text(&file, MAX_SECRET) {
        Ok(text) => text
            .strip_suffix('\n')
            .map_or(&*text, trim_return)
            .to_owned(),
        Err(error) => {
            return problems.of_key(&twin, named_by, format!("cannot be read: {error}"));
        }
    };
    let origin = Origin::SecretFile(file, Box::new(named_by));
    match key.kind.read(Raw::Text(text)) {
        Some(value) => {
            values.insert(key.path.clone(), (value, origin));
        }
        None => problems.of_key(&key.path, origin, format!("must be {}", key.kind)),
    }
}

fn trim_return(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

/// Parses into the sections' types. A value that its type refuses is a problem, and the rest is
/// parsed without it, so that the next one is found too.
fn parse<C: Sections>(mut values: Values, problems: &mut Problems) -> C {
    // Of the whole, not of each section by itself: two programs may have one section with other defaults.
    let defaults = Table::try_from(C::default()).unwrap_or_default();
    loop {
        let table = to_table(defaults.clone(), &values);
        let error = match serde_path_to_error::deserialize(Value::Table(table)) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let path = error.path().to_string();
        let path = path.split('[').next().unwrap_or_default();
        let Some((_, origin)) = values.remove(path) else {
            // Cannot be: every other reason was found before.
            problems.of_other(path, None, "cannot be understood");
            return C::default();
        };
        problems.of_key(path, origin, error.inner().message());
    }
}

fn to_table(mut root: Table, values: &Values) -> Table {
    for (path, (value, _)) in values {
        match path.split_once('.') {
            None => {
                root.insert(path.clone(), value.clone());
            }
            Some((section, name)) => {
                let section = root
                    .entry(section)
                    .or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
    root
}

/// Which values are to be filled in from others.
pub struct Derived<'a> {
    origins: &'a mut Origins,
    problems: &'a Problems,
}

impl Derived<'_> {
    /// Whether `key` is to be filled in from `source`: nobody has set it. It is noted as such.
    pub fn from(&mut self, key: &str, source: &'static str) -> bool {
        let missing = !self.origins.has(key) && !self.problems.concern(key);
        if missing {
            self.origins.set(key, Origin::Derived(source));
        }
        missing
    }
}

/// What rules that concern more than one value are told, and tell.
pub struct Rules<'a> {
    /// Whether this is development mode.
    pub development: bool,
    origins: &'a Origins,
    problems: &'a mut Problems,
}

impl Rules<'_> {
    /// A rule about `key` is broken. It is left out where the key, or one of the `others` that it is
    /// about, is known to be wrong anyway.
    pub fn broken(&mut self, key: &str, others: &[&str], text: &str) {
        let known_wrong = |key: &&str| self.problems.concern(key);
        if !known_wrong(&key) && !others.iter().any(known_wrong) {
            self.problems.of_key(key, self.origins.of(key), text);
        }
    }

    /// Two keys, each with whether it is set, are set together or not at all. A secret may be in the
    /// file that its twin names.
    pub fn together(&mut self, one: (&str, bool), other: (&str, bool)) {
        let (((given, true), (missing, false)) | ((missing, false), (given, true))) = (one, other)
        else {
            return;
        };
        let twin = format!("{missing}_file");
        self.broken(
            given,
            &[missing, &twin],
            &format!("needs {missing} beside it"),
        );
    }
}
