//! The comments of .proto files, and the little that is written in them by rule: see `auth.proto`.

use prost_types::FileDescriptorProto;
use tonic::Code;

/// What is said above a service, a method, a message or a field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comment {
    /// Its paragraphs, without what the other fields hold. CommonMark.
    pub text: String,
    /// `Example: ...`
    pub example: Option<String>,
    /// `- CODE (reason, reason): ...`
    pub errors: Vec<Error>,
}

/// An answer that a method can give besides success.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Error {
    pub code: Code,
    pub reasons: Vec<String>,
    pub text: String,
}

impl Comment {
    /// The comment at a path of `google.protobuf.SourceCodeInfo`.
    pub(super) fn at(file: &FileDescriptorProto, path: &[i32]) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comment = locations
            .filter(|location| location.path == path)
            .find_map(|location| location.leading_comments.as_deref());
        Self::parse(comment.unwrap_or_default())
    }

    fn parse(comment: &str) -> Self {
        let mut parsed = Self::default();
        for line in comment.lines().map(str::trim) {
            if let Some(example) = line.strip_prefix("Example: ") {
                parsed.example = Some(example.to_owned());
            } else if let Some(error) = line.strip_prefix("- ").and_then(Error::parse) {
                parsed.errors.push(error);
            } else if line.is_empty() {
                parsed.text.push_str("\n\n");
            } else {
                if !parsed.text.is_empty() && !parsed.text.ends_with('\n') {
                    parsed.text.push(' ');
                }
                parsed.text.push_str(line);
            }
        }
        parsed.text.truncate(parsed.text.trim_end().len());
        parsed
    }

    /// The first sentence, without its full stop.
    pub(super) fn summary(&self) -> &str {
        let line = self.text.lines().next().unwrap_or_default();
        let end = line.find(". ").unwrap_or(line.len());
        line[..end].trim_end_matches('.')
    }

    /// Whether a field must have a value.
    pub(super) fn is_required(&self) -> bool {
        self.text.starts_with("Required.")
    }
}

impl Error {
    fn parse(line: &str) -> Option<Self> {
        let (head, text) = line.split_once("): ")?;
        let (code, reasons) = head.split_once(" (")?;
        let codes = (0..17).map(Code::from_i32);
        Some(Self {
            code: codes
                .into_iter()
                .find(|c| crate::status::name(*c) == code)?,
            reasons: reasons.split(", ").map(str::to_owned).collect(),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_rule_is_taken_out_of_the_text() {
        let comment = Comment::parse(
            " Does a thing. And another\n one.\n\n More.\n\n - NOT_FOUND (not_found, gone): none.\n",
        );
        assert_eq!(comment.text, "Does a thing. And another one.\n\nMore.");
        assert_eq!(comment.summary(), "Does a thing");
        let error = Error {
            code: Code::NotFound,
            reasons: vec!["not_found".to_owned(), "gone".to_owned()],
            text: "none.".to_owned(),
        };
        assert_eq!(comment.errors, [error]);
        let field = Comment::parse(" Required. A name.\n\n Example: Ada\n");
        assert!(field.is_required());
        assert_eq!(field.text, "Required. A name.");
        assert_eq!(field.example.as_deref(), Some("Ada"));
    }

    #[test]
    fn a_list_that_follows_no_rule_stays_text() {
        let comment = Comment::parse(" Things:\n - one\n - NO_CODE (a): b\n");
        assert!(comment.errors.is_empty());
        assert_eq!(comment.text, "Things: - one - NO_CODE (a): b");
    }
}
