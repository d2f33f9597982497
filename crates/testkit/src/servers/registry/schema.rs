//! Schemas: from text to what is compared.

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use serde::{Deserialize, Serialize};

const NAME: &str = "schema.proto";

/// A version that a schema imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// The file's name, as the schema imports it.
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) version: u32,
}

/// A schema that compiles.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    /// As it was sent.
    pub(super) text: String,
    pub(super) references: Vec<Reference>,
    /// What the references are, and theirs: names and texts.
    pub(super) files: Vec<(String, String)>,
    /// What it means: formatting and comments do not count.
    pub(super) file: FileDescriptorProto,
    /// The files it imports.
    pub(super) imports: Vec<FileDescriptorProto>,
}

impl Schema {
    /// Compiles a text that imports google's own files only.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::with(text, Vec::new(), Vec::new())
    }

    /// Compiles a text that imports these files, too.
    pub(super) fn with(
        text: &str,
        references: Vec<Reference>,
        files: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let mut resolver = ChainFileResolver::new();
        resolver.add(OneFile(NAME.to_owned(), text.to_owned()));
        for (name, text) in &files {
            resolver.add(OneFile(name.clone(), text.clone()));
        }
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler
            .open_file(NAME)
            .map_err(|error| error.to_string())?;
        let mut imports = compiler.file_descriptor_set().file;
        let at = imports.iter().position(|file| file.name() == NAME);
        let mut file = at.map(|at| imports.remove(at)).unwrap_or_default();
        plain(&mut file);
        Ok(Self {
            text: text.to_owned(),
            references,
            files,
            file,
            imports,
        })
    }

    /// Whether both mean the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.references == other.references
            && self.file.encode_to_vec() == other.file.encode_to_vec()
    }
}

fn plain(file: &mut FileDescriptorProto) {
    file.source_code_info = None;
    for message in &mut file.message_type {
        without_json_names(message);
    }
}

fn without_json_names(message: &mut DescriptorProto) {
    for field in message.field.iter_mut().chain(&mut message.extension) {
        field.json_name = None;
    }
    for nested in &mut message.nested_type {
        without_json_names(nested);
    }
}

struct OneFile(String, String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == self.0 {
            File::from_source(name, &self.1)
        } else {
            Err(Error::file_not_found(name))
        }
    }
}
