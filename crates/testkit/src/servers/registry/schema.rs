//! Schemas: from text to what is compared.

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

const NAME: &str = "schema.proto";

/// A schema that compiles.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    /// As it was sent.
    pub(super) text: String,
    /// What it means: formatting and comments do not count.
    pub(super) file: FileDescriptorProto,
    /// The files it imports.
    pub(super) imports: Vec<FileDescriptorProto>,
}

impl Schema {
    /// Compiles a text; only google's own files can be imported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut resolver = ChainFileResolver::new();
        resolver.add(OneFile(text.to_owned()));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler
            .open_file(NAME)
            .map_err(|error| error.to_string())?;
        let mut files = compiler.file_descriptor_set().file;
        let at = files.iter().position(|file| file.name() == NAME);
        let mut file = at.map(|at| files.remove(at)).unwrap_or_default();
        plain(&mut file);
        Ok(Self {
            text: text.to_owned(),
            file,
            imports: files,
        })
    }

    /// Whether both mean the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.file.encode_to_vec() == other.file.encode_to_vec()
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

struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == NAME {
            File::from_source(name, &self.0)
        } else {
            Err(Error::file_not_found(name))
        }
    }
}
