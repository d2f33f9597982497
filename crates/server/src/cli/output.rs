//! What commands print.

use serde_json::{Value, json};
use sso_config::output::say;
use sso_core::ports::store::{Reach, User};
pub(super) use sso_web::rfc3339;

use super::Output;

/// A user as programs read him. No hash, ever.
pub(super) fn user_json(user: &User) -> Value {
    json!({
        "user_id": user.id.to_string(),
        "email": user.email.as_typed(),
        "email_verified": user.email_verified,
        "name": user.name.as_ref().map(sso_core::values::Name::as_str),
        "birthday": user.birthday.map(|day| day.to_string()),
        "is_admin": user.is_admin,
        "disabled": user.disabled,
        "created_at": rfc3339(user.created_at),
        "version": user.version.get(),
    })
}

/// Prints one user.
pub(super) fn print_user(user: &User, output: Output) {
    match output {
        Output::Json => say(user_json(user)),
        Output::Text => {
            let name = user
                .name
                .as_ref()
                .map_or("-", sso_core::values::Name::as_str);
            let birthday = user
                .birthday
                .map_or_else(|| "-".to_owned(), |day| day.to_string());
            say(format_args!("id        {}", user.id));
            say(format_args!("email     {}", user.email.as_typed()));
            say(format_args!("name      {}", printable(name)));
            say(format_args!("birthday  {birthday}"));
            say(format_args!("admin     {}", yes_no(user.is_admin)));
            say(format_args!("disabled  {}", yes_no(user.disabled)));
            say(format_args!("created   {}", rfc3339(user.created_at)));
        }
    }
}

/// Prints users, one a line.
pub(super) fn print_users(users: &[User], output: Output) {
    match output {
        Output::Json => say(Value::from(users.iter().map(user_json).collect::<Vec<_>>())),
        Output::Text => {
            for user in users {
                let marks = [(user.is_admin, " admin"), (user.disabled, " disabled")];
                let marks: String = marks
                    .iter()
                    .filter(|(set, _)| *set)
                    .map(|(_, mark)| *mark)
                    .collect();
                say(format_args!(
                    "{}  {}{marks}",
                    user.id,
                    user.email.as_typed()
                ));
            }
        }
    }
}

/// Says what a change did and who obeys it.
pub(super) fn print_changed(user: &User, what: &str, reach: Reach, output: Output) {
    match output {
        Output::Json => {
            let mut value = user_json(user);
            value["revocation"] = json!(reach.as_str());
            say(value);
        }
        Output::Text => {
            let reach = self::reach(reach);
            say(format_args!(
                "{} ({}): {what}; {reach}",
                user.email.as_typed(),
                user.id
            ));
        }
    }
}

/// Who obeys a change.
pub(super) const fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Everywhere => "obeyed everywhere",
        Reach::Pending => "committed; every instance obeys within 1.2 leases",
    }
}

/// A line for a person.
pub(super) fn print_line(line: &str) {
    say(line);
}

/// A document for a program or a file: printed as it is, ending with one newline.
pub(super) fn print_document(text: &str) {
    say(text.trim_end());
}

fn yes_no(set: bool) -> &'static str {
    if set { "yes" } else { "no" }
}

/// Characters that could change what the terminal shows are replaced.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
