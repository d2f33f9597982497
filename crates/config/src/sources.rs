//! Where values come from.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{
    Spanned, Value,
    de::{DeString, DeTable, DeValue, ValueDeserializer},
};

use crate::{
    Sections,
    catalogue::Catalogue,
    kind::Raw,
    problems::{Problems, printable},
};

/// Longest configuration file in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What to load from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that `--config` names; without one the variable [`Sections::FILE_VARIABLE`] is asked.
    pub file: Option<PathBuf>,
    /// The process' environment; only names that start as the program's do are looked at.
    pub env: Vec<(OsString, OsString)>,
    /// Keys with values as in variables. The last one of a key counts.
    pub flags: Vec<(String, String)>,
    /// Whether `--dev` was given.
    pub dev: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// Built in, for development mode.
    Development,
    /// From the value of another key.
    Derived(&'static str),
    /// A line of a file, from 1.
    File(PathBuf, usize),
    /// A variable.
    Variable(String),
    /// The command line.
    Flag,
    /// The file that holds a secret, and where its name comes from.
    SecretFile(PathBuf, Box<Self>),
}

impl Origin {
    /// Of two sources the one with the higher is in force.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Default | Self::Development | Self::Derived(_) => 0,
            Self::File(..) => 1,
            Self::Variable(_) => 2,
            Self::Flag => 3,
            Self::SecretFile(_, named_by) => named_by.rank(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &Path| printable(&path.to_string_lossy());
        match self {
            Self::Default => f.write_str("default"),
            Self::Development => f.write_str("development mode"),
            Self::Derived(from) => write!(f, "from {from}"),
            Self::File(file, line) => write!(f, "{}:{line}", path(file)),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("command line"),
            Self::SecretFile(file, from) => write!(f, "{}, named by {from}", path(file)),
        }
    }
}

/// Where each value comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Of a key such as `http.listen`.
    pub fn of(&self, path: &str) -> Origin {
        self.0.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Notes where the value of a key comes from.
    pub fn set(&mut self, path: &str, origin: Origin) {
        self.0.insert(path.to_owned(), origin);
    }

    /// Whether somebody, or development mode, has set it.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

/// The values that are set, each from its strongest source.
pub(crate) type Settings = BTreeMap<String, (Raw, Origin)>;

impl Sources {
    /// Whether this is development mode: asked for, or nothing is set at all.
    pub(crate) fn is_development<C: Sections>(&self) -> bool {
        if C::DEVELOPMENT.is_empty() {
            return false;
        }
        // `SSO_PORT`, which an orchestrator may set, is none of ours.
        let ours = |(name, _): &(OsString, OsString)| {
            name == C::FILE_VARIABLE || name.as_encoded_bytes().starts_with(C::PREFIX.as_bytes())
        };
        self.dev || (self.file.is_none() && self.flags.is_empty() && !self.env.iter().any(ours))
    }

    /// Reads all of them.
    pub(crate) fn read<C: Sections>(
        self,
        catalogue: &Catalogue,
        problems: &mut Problems,
    ) -> Settings {
        let mut reader = Reader {
            program: C::PROGRAM,
            prefix: C::PREFIX,
            catalogue,
            problems,
            settings: Settings::new(),
        };
        if self.is_development::<C>() {
            for (key, value) in C::DEVELOPMENT {
                reader.set(key, Raw::Text((*value).to_owned()), Origin::Development);
            }
        }
        let named = self.env.iter().find(|(name, _)| name == C::FILE_VARIABLE);
        match self.file.or_else(|| named.map(|(_, file)| file.into())) {
            // Some script has lost the name.
            Some(file) if file.as_os_str().is_empty() => reader.problems.of_other(
                C::FILE_VARIABLE,
                None,
                "is empty: name the configuration file in it, or unset it",
            ),
            Some(file) => reader.file(&file),
            None => {}
        }
        for (name, value) in self.env {
            reader.variable(&name, value);
        }
        for (key, value) in self.flags {
            match catalogue.key(&key) {
                Some(key) => reader.set(&key.path, Raw::Text(value), Origin::Flag),
                None => reader.unknown(&key, Origin::Flag),
            }
        }
        reader.settings
    }
}

struct Reader<'a> {
    program: &'static str,
    prefix: &'static str,
    catalogue: &'a Catalogue,
    problems: &'a mut Problems,
    settings: Settings,
}

impl Reader<'_> {
    fn set(&mut self, key: &str, raw: Raw, origin: Origin) {
        self.settings.insert(key.to_owned(), (raw, origin));
    }

    fn variable(&mut self, name: &OsString, value: OsString) {
        let name = name.to_string_lossy();
        if !name.starts_with(self.prefix) {
            return;
        }
        let Some(key) = self.catalogue.keys().find(|key| key.variable == name) else {
            let names = self.catalogue.keys().map(|key| key.variable.clone());
            let text = unknown(self.program, "variable", suggestion(&name, names));
            return self.problems.of_other(&name, None, text);
        };
        let origin = Origin::Variable(name.into_owned());
        match value.into_string() {
            Ok(value) => self.set(&key.path, Raw::Text(value), origin),
            Err(_) => self.problems.of_key(&key.path, origin, "must be UTF-8"),
        }
    }

    fn file(&mut self, path: &Path) {
        let name = path.to_string_lossy();
        let text = match read_text(path, MAX_FILE) {
            Ok(text) => text,
            Err(error) => {
                let text = format!("the configuration file cannot be read: {error}");
                return self.problems.of_other(&name, None, text);
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            if self.problems.is_full() {
                self.problems.count();
                continue;
            }
            // Only the message: the error's own display repeats the line, which may hold a secret.
            let at = error.span().map_or(0, |span| span.start);
            let origin = format!("{name}:{}", line(&text, at));
            let text = format!("is not TOML: {}", error.message());
            self.problems.of_other(&origin, None, text);
        }
        if errors.is_empty() {
            self.table("", table.into_inner(), &|at| {
                Origin::File(path.to_owned(), line(&text, at))
            });
        }
    }

    /// Takes the keys of a section (the root's name is empty).
    fn table(&mut self, section: &str, table: DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
        let catalogue = self.catalogue;
        let Some(known) = catalogue.section(section) else {
            return;
        };
        for (name, value) in table {
            let at = name.span().start;
            if let Some(key) = known.keys.iter().find(|key| key.name == **name.get_ref()) {
                self.value(&key.path, value, origin(at));
            } else if section.is_empty() && catalogue.section(name.get_ref()).is_some() {
                match value.into_inner() {
                    DeValue::Table(table) => self.table(name.get_ref(), table, origin),
                    _ => self.problems.of_other(
                        name.get_ref(),
                        Some(origin(at)),
                        format!("is a section: write [{}]", name.get_ref()),
                    ),
                }
            } else if self.problems.is_full() {
                // Where it stands and what was meant would take long for a whole file of them.
                self.problems.count();
            } else {
                self.unknown(&join(section, name.get_ref()), origin(at));
            }
        }
    }

    fn value(&mut self, key: &str, value: Spanned<DeValue<'_>>, origin: Origin) {
        match Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => self.set(key, Raw::Toml(value), origin),
            Err(_) => self.problems.of_key(key, origin, "is beyond all bounds"),
        }
    }

    fn unknown(&mut self, key: &str, origin: Origin) {
        let sections = self
            .catalogue
            .sections
            .iter()
            .map(|section| section.name.clone());
        let keys = self.catalogue.keys().map(|key| key.path.clone());
        let text = unknown(self.program, "key", suggestion(key, keys.chain(sections)));
        self.problems.of_other(key, Some(origin), text);
    }
}

fn join(section: &str, name: &DeString<'_>) -> String {
    if section.is_empty() {
        name.to_string()
    } else {
        format!("{section}.{name}")
    }
}

/// Says that a key is none of these, and which was probably meant.
pub fn unknown_among(program: &str, key: &str, known: &[&str]) -> String {
    let known = known.iter().map(|&name| name.to_owned());
    format!(
        "{}: {}",
        printable(key),
        unknown(program, "key", suggestion(key, known))
    )
}

fn unknown(program: &str, what: &str, suggestion: Option<String>) -> String {
    match suggestion {
        Some(name) => format!("unknown {what}; did you mean {name}?"),
        None => format!("unknown {what}; `{program} config example` prints all of them"),
    }
}

/// The name that was probably meant: up to three typos, but not more than a third of it.
fn suggestion(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    names
        .map(|known| (strsim::damerau_levenshtein(name, &known), known))
        .filter(|(typos, known)| typos * 3 <= known.len().min(9))
        .min_by_key(|(typos, _)| *typos)
        .map(|(_, known)| known)
}

/// The line, from 1, of a byte.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// A whole file of UTF-8 of at most `most` bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(text)
}
