//! From a registration to a message (RFC 5322).

use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use sso_events::registration::RegistrationMessage;
use uuid::Uuid;

use crate::{
    config::Locale,
    templates::{Reader, TemplateError, Templates, one_line},
};

/// Longest name of a user that is said, in characters.
const MAX_NAME: usize = 60;
/// Longest address in bytes.
const MAX_ADDRESS: usize = 254;

/// Makes messages.
#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) from: Mailbox,
    pub(crate) product: String,
    pub(crate) locale: Locale,
    pub(crate) templates: Templates,
}

/// Why there is no message. No personal data in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsendable {
    /// An address that is none.
    #[error("its e-mail address is not valid")]
    Address,
    /// A template that cannot be rendered for this user.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Anything else.
    #[error("no message can be made of it: {0}")]
    Message(#[from] lettre::error::Error),
}

impl Composer {
    /// The message of an event. Its Message-ID is the event's, so that whoever gets it twice can tell.
    pub(crate) fn compose(
        &self,
        event: Uuid,
        user: &RegistrationMessage,
    ) -> Result<Message, Unsendable> {
        let address = address(&user.email).ok_or(Unsendable::Address)?;
        let name = sayable(&user.full_name);
        let content = self.templates.render(Reader {
            name: &name,
            email: &user.email,
            product: &self.product,
        })?;
        let name = (!name.is_empty()).then_some(name);
        let plain = |name: &'static str, value: &str| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
        };
        // Said, since it would be read back from the headers, by a parser that knows fewer addresses.
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![address.clone()])?;
        let message = Message::builder()
            .envelope(envelope)
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .subject(content.subject)
            .message_id(Some(format!("<{event}@{}>", self.from.email.domain())))
            // RFC 3834: no answers of machines, please.
            .raw_header(plain("Auto-Submitted", "auto-generated"))
            .raw_header(plain("Content-Language", self.locale.tag()))
            .multipart(MultiPart::alternative_plain_html(
                content.text,
                content.html,
            ))?;
        Ok(message)
    }
}

/// A name as a mail may say it, on one line. Anybody may register anybody's address and write a name to it, and
/// the mail is from our domain: what may be more than a name is left out. That is what is longer than 60
/// characters, has a line break, `/`, `\`, `@` or `www.`, or a dot with something right before and right after
/// it, which mail programs show as a link (`evil.example`, and `J.R.Smith`; but not `J. R. Smith`).
fn sayable(name: &str) -> String {
    let is_line_break = |c: char| matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    // Those that browsers take for a dot, too (UTS 46).
    let is_dot = |c: char| matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    let line = one_line(name, MAX_NAME + 1);
    let characters: Vec<char> = line.chars().collect();
    let has_inner_dot = characters.windows(3).any(|three| {
        matches!(three, [before, dot, after]
            if is_dot(*dot) && !before.is_whitespace() && !after.is_whitespace())
    });
    let is_more = characters.len() > MAX_NAME
        || name.contains(is_line_break)
        || line.contains(['/', '\\', '@'])
        || line.to_lowercase().contains("www.")
        || has_inner_dot;
    if is_more { String::new() } else { line }
}

/// An address as `sso` takes it: the WHATWG form-input syntax, ASCII, at most 254 bytes. Nothing that
/// could end a header or a command is in it.
fn address(text: &str) -> Option<Address> {
    let (user, domain) = text.split_once('@')?;
    let of_user =
        |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let of_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let good = text.len() <= MAX_ADDRESS
        && !user.is_empty()
        && user.bytes().all(of_user)
        && domain.split('.').all(of_label);
    // Its own parser refuses two dots in a row, which people have.
    good.then(|| Address::new_dangerous(user, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(name: &str, email: &str) -> Result<String, Unsendable> {
        let composer = Composer {
            from: "Example <noreply@example.com>".parse().unwrap(),
            product: "Example".to_owned(),
            locale: Locale::Ru,
            templates: Templates::load(None, Locale::Ru).unwrap(),
        };
        let user = RegistrationMessage {
            email: email.to_owned(),
            full_name: name.to_owned(),
            ..RegistrationMessage::default()
        };
        let message = composer.compose(Uuid::from_u128(7), &user)?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_name_cannot_add_a_header_or_a_recipient() {
        for name in [
            "Eve\r\nBcc: all@example.com",
            "Ева\r\n\r\nBcc: all@example.com",
            "Eve\nBcc: all",
            "Eve\tBcc: all",
            "Eve\u{85}Bcc: all",
            "Eve\" <all>, \"",
            "Ева\u{202e}, all, Bcc: all",
        ] {
            let text = compose(name, "eve@example.com").unwrap();
            let head = text.split("\r\n\r\n").next().unwrap();
            let names: Vec<_> = head
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split(':').next().unwrap())
                .collect();
            assert_eq!(names.iter().filter(|name| **name == "To").count(), 1);
            assert!(!names.contains(&"Bcc"), "{head}");
            let to = head
                .split("\r\nTo: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\nSubject").next());
            let to = to.unwrap();
            // With the name, or without it where it may be more than one.
            assert!(
                to == "eve@example.com" || to.ends_with("<eve@example.com>"),
                "{head}"
            );
            assert!(to.matches('<').count() <= 1 && !to.contains(','), "{head}");
            assert!(
                head.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.com>")
            );
        }
    }

    #[test]
    fn a_name_is_said_if_it_cannot_be_more_than_a_name() {
        let longest = "x".repeat(60);
        for good in [
            "Ada",
            "Ада Лавлейс",
            "J. R. Smith",
            "Martin Luther King, Jr.",
            "O'Brien-Smith (Bob)",
            "李小龍",
            &longest,
        ] {
            assert_eq!(sayable(good), good);
        }
        assert_eq!(sayable("  Ada \t Lovelace\u{200b}"), "Ada Lovelace");
        for bad in [
            "your prize waits: https://evil.example/x",
            "evil.example",
            "evil。example",
            "evil．example",
            "e\u{301}.example",
            "J.R.Smith",
            "WWW. evil",
            "eve@evil",
            "a/b",
            "a\\b",
            "Ada\nLovelace",
            "Ada\r\n",
            "Ada\u{2028}Lovelace",
            &format!("{longest}y"),
        ] {
            assert_eq!(sayable(bad), "", "{bad:?}");
        }
        let said = compose("evil.example", "ada@example.com").unwrap();
        assert!(said.contains("\r\nTo: ada@example.com\r\n"), "{said}");
    }

    #[test]
    fn an_address_is_taken_as_sso_takes_it_and_no_other() {
        for good in [
            "a@b",
            "a..b@example.com",
            ".a@example.com",
            "a+b!#$%&'*/=?^_`{|}~-@x-y.z",
        ] {
            assert!(compose("", good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(255));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b\r\nRCPT TO:<c@d>",
            "a b@c",
            "a@b c",
            "ä@b",
            "a@-b",
            &long,
            "a@b@c",
            "<a@b>",
        ] {
            assert!(
                matches!(compose("", bad), Err(Unsendable::Address)),
                "{bad}"
            );
        }
    }
}
