//! Parsers of what strangers send: never a panic, and what is accepted is what the contract says.

use proptest::prelude::*;
use sso_core::values::{
    Birthday, Email, Name, NewPassword, Password, PasswordPolicy, SessionId, UserId,
};
use time::macros::datetime;

/// Anything, and things that are nearly good.
fn near(good: &'static str) -> impl Strategy<Value = String> {
    let spoilt = (any::<prop::sample::Index>(), any::<char>()).prop_map(move |(at, with)| {
        let at = at.index(good.len());
        format!("{}{with}{}", &good[..at], &good[at + 1..])
    });
    prop_oneof![
        any::<String>(),
        spoilt,
        "[ -~]{0,300}",
        Just(good.to_owned())
    ]
}

proptest! {
    #[test]
    fn an_accepted_address_is_ascii_bounded_and_its_canonical_form_an_address_too(
        text in near("Ada.Lovelace+x@mail.Example.com")
    ) {
        let Ok(email) = Email::parse(&text) else { return Ok(()) };
        prop_assert_eq!(email.as_typed(), &text);
        prop_assert!(text.is_ascii() && text.len() <= 254);
        prop_assert!(!text.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
        let (local, domain) = text.rsplit_once('@').unwrap_or_default();
        prop_assert!(!local.is_empty() && !local.contains('@'));
        let label = |label: &str| (1..=63).contains(&label.len());
        prop_assert!(domain.split('.').all(label));
        let canonical = Email::parse(email.canonical()).unwrap();
        prop_assert_eq!(canonical.canonical(), email.canonical());
        prop_assert!(!email.canonical().bytes().any(|byte| byte.is_ascii_uppercase()));
    }

    #[test]
    fn an_accepted_name_has_no_control_characters_and_100_at_most(text in near("Ada Lovelace")) {
        let good = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        prop_assert_eq!(Name::parse(&text).is_ok(), good);
    }

    #[test]
    fn an_accepted_day_is_written_as_it_was_sent(text in near("1990-12-10")) {
        let now = datetime!(2026-11-25 12:00 UTC);
        let Ok(day) = Birthday::parse(&text, now) else { return Ok(()) };
        prop_assert_eq!(day.to_string(), text.clone());
        prop_assert!(("1900-01-01"..="2026-11-25").contains(&text.as_str()));
    }

    #[test]
    fn an_accepted_id_is_the_one_that_was_sent(
        text in near("0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11")
    ) {
        let Ok(id) = UserId::parse(&text) else { return Ok(()) };
        prop_assert!(id.to_string().eq_ignore_ascii_case(&text));
        prop_assert!(SessionId::parse(&text).is_ok());
    }

    #[test]
    fn a_password_is_kept_as_typed_and_bounded(text in near("correct horse battery")) {
        let read = Password::parse("password", &text);
        prop_assert_eq!(read.is_ok(), text.len() <= 1024);
        if let Ok(password) = &read {
            prop_assert_eq!(password.typed(), &text);
        }
        let policy = PasswordPolicy { min_length: 8, refuse_common: true };
        let new = NewPassword::parse("password", &text, None, policy);
        prop_assert!(new.is_err() || read.is_ok());
        if let Ok(new) = new {
            prop_assert!(new.password().normalised().chars().count() >= 8);
        }
    }
}
