//! Subject, text and HTML of the mail.

use std::{io, path::Path};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use crate::config::Locale;

/// Their names.
const SUBJECT: &str = "subject.txt";
const TEXT: &str = "welcome.txt";
const HTML: &str = "welcome.html";
const NAMES: [&str; 3] = [SUBJECT, TEXT, HTML];
/// Longest template file in bytes.
const MAX_FILE: u64 = 256 * 1024;
/// Longest mail in bytes, each of its parts.
const MAX_PART: usize = 1024 * 1024;
/// Longest subject in characters.
const MAX_SUBJECT: usize = 200;
/// Steps that rendering may take: a template that does not end is no mail.
const FUEL: u64 = 100_000;

/// A mail's content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// One line.
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// For whom a mail is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// Empty: he gave none.
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) product: &'a str,
}

/// The templates in force.
#[derive(Debug)]
pub(crate) struct Templates(Environment<'static>);

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A file.
    #[error("{0} cannot be read: {1}")]
    File(String, io::Error),
    /// Its content.
    #[error("{0}: {1}")]
    Template(String, String),
}

impl Templates {
    /// Reads the templates, the operator's before ours, and tries them.
    pub(crate) fn load(dir: Option<&Path>, locale: Locale) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // What is misspelt must be found at the start, not be empty in a mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| {
            if name == HTML {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        if let Some(dir) = dir {
            std::fs::read_dir(dir)
                .map_err(|error| TemplateError::File(dir.display().to_string(), error))?;
        }
        for name in NAMES {
            let text = match dir {
                Some(dir) => replaced(dir, locale, name)?,
                None => None,
            };
            let text = text.unwrap_or_else(|| built_in(locale, name).to_owned());
            environment
                .add_template_owned(name, text)
                .map_err(|error| of(name, &error))?;
        }
        let templates = Self(environment);
        for name in ["", "Ada <b>"] {
            templates.render(Reader {
                name,
                email: "ada@example.com",
                product: "sso",
            })?;
        }
        Ok(templates)
    }

    /// The content for a reader.
    pub(crate) fn render(&self, of_whom: Reader<'_>) -> Result<Rendered, TemplateError> {
        let Reader {
            name,
            email,
            product,
        } = of_whom;
        let part = |template: &'static str| {
            let text = self
                .0
                .get_template(template)
                .and_then(|found| found.render(context! { name, email, product }))
                .map_err(|error| of(template, &error))?;
            if text.trim().is_empty() {
                let why = "renders to nothing".to_owned();
                return Err(TemplateError::Template(template.to_owned(), why));
            }
            if text.len() > MAX_PART {
                let why = format!("renders to more than {MAX_PART} bytes");
                return Err(TemplateError::Template(template.to_owned(), why));
            }
            Ok(text)
        };
        Ok(Rendered {
            subject: one_line(&part(SUBJECT)?, MAX_SUBJECT),
            text: part(TEXT)?,
            html: part(HTML)?,
        })
    }
}

/// A text on one line and not too long: nothing in it can end a header.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let is_break = |c: char| c.is_control() || c.is_whitespace() || is_invisible(c);
    let words = text.split(is_break).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(most).collect()
}

/// What turns the direction of the text around it, or is not seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn of(name: &str, error: &minijinja::Error) -> TemplateError {
    TemplateError::Template(name.to_owned(), error.to_string())
}

fn replaced(dir: &Path, locale: Locale, name: &str) -> Result<Option<String>, TemplateError> {
    for file in [dir.join(locale.tag()).join(name), dir.join(name)] {
        let failed = |error| TemplateError::File(file.display().to_string(), error);
        match std::fs::metadata(&file) {
            Ok(found) if found.len() > MAX_FILE => {
                let why = format!("it is longer than {MAX_FILE} bytes");
                return Err(failed(io::Error::other(why)));
            }
            Ok(_) => return std::fs::read_to_string(&file).map(Some).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(None)
}

fn built_in(locale: Locale, name: &str) -> &'static str {
    match (locale, name) {
        (Locale::En, SUBJECT) => include_str!("../templates/en/subject.txt"),
        (Locale::En, TEXT) => include_str!("../templates/en/welcome.txt"),
        (Locale::En, _) => include_str!("../templates/en/welcome.html"),
        (Locale::Ru, SUBJECT) => include_str!("../templates/ru/subject.txt"),
        (Locale::Ru, TEXT) => include_str!("../templates/ru/welcome.txt"),
        (Locale::Ru, _) => include_str!("../templates/ru/welcome.html"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: Reader<'_> = Reader {
        name: "Eve\r\nBcc: all@example.com\u{2028}<script>\u{202e}",
        email: "eve@example.com",
        product: "sso",
    };

    #[test]
    fn a_name_is_escaped_in_html_and_cannot_break_the_subject() {
        for locale in [Locale::En, Locale::Ru] {
            let mail = Templates::load(None, locale).unwrap().render(EVIL).unwrap();
            assert!(!mail.html.contains("<script>"), "{}", mail.html);
            assert!(mail.html.contains("&lt;script&gt;"), "{}", mail.html);
            assert!(!mail.subject.contains(['\r', '\n', '\u{2028}', '\u{202e}']));
        }
    }

    #[test]
    fn the_operators_files_go_before_ours_and_those_of_the_locale_before_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("subject.txt"), "Hi {{ name }}\nthere").unwrap();
        std::fs::create_dir(dir.path().join("ru")).unwrap();
        std::fs::write(dir.path().join("ru/subject.txt"), "Привет").unwrap();
        let subject = |locale| {
            let templates = Templates::load(Some(dir.path()), locale).unwrap();
            templates.render(EVIL).unwrap().subject
        };
        assert_eq!(
            subject(Locale::En),
            "Hi Eve Bcc: all@example.com <script> there"
        );
        assert_eq!(subject(Locale::Ru), "Привет");
    }

    #[test]
    fn a_template_that_cannot_be_rendered_is_found_at_the_start() {
        for bad in [
            "{{ nmae }}",
            "{% if %}",
            "",
            "{% for i in range(99999999) %}x{% endfor %}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("welcome.txt"), bad).unwrap();
            let error = Templates::load(Some(dir.path()), Locale::En).unwrap_err();
            assert!(error.to_string().starts_with("welcome.txt: "), "{error}");
        }
        let missing = Path::new("/nowhere/at/all");
        let error = Templates::load(Some(missing), Locale::En).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
