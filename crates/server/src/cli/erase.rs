//! `sso user delete` and `sso user export`.

use std::io::{self, BufRead, IsTerminal, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Value, json};
use sso_core::{
    Agent,
    ports::store::{Session, UserEvent},
    usecases::administer::{self, UserData},
};

use super::{Output, OutputArgs, WaitArgs, audit, output};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::{self, Wait},
};

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// His e-mail address or id.
    user: String,
    /// Do not ask at a terminal.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// His e-mail address or id.
    user: String,
}

/// Deletes a user, after asking.
pub(super) fn delete(loaded: &Loaded, args: &DeleteArgs) -> Result<Exit, Failed> {
    if !args.yes {
        confirm(&args.user)?;
    }
    let deleted = wiring::command(loaded, args.wait.wait(), async |sso, operator| {
        let user = administer::find(sso, operator, &args.user).await?;
        Ok(administer::delete(sso, operator, user.id).await?)
    })?;
    match args.output.output {
        Output::Json => output::print_line(
            &json!({
                "user_id": deleted.user.to_string(),
                "deleted": true,
                "revocation": deleted.reach.as_str(),
            })
            .to_string(),
        ),
        Output::Text => {
            let reach = output::reach(deleted.reach);
            output::print_line(&format!("{} is deleted; {reach}", deleted.user));
        }
    }
    Ok(Exit::Success)
}

/// Only a person at a terminal is asked; a script knows what it does.
fn confirm(user: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Ok(());
    }
    let mut terminal = io::stderr();
    let asked = write!(
        terminal,
        "Delete {} and all that is known of him? This cannot be undone. [yes/no] ",
        output::printable(user)
    )
    .and_then(|()| terminal.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failed::new(Exit::Failure, "nothing was deleted")),
    }
}

/// Prints all that is known of a user as one JSON document.
pub(super) fn export(loaded: &Loaded, args: &ExportArgs) -> Result<Exit, Failed> {
    let data = wiring::command(loaded, Wait::No, async |sso, operator| {
        let user = administer::find(sso, operator, &args.user).await?;
        Ok(administer::export(sso, operator, user.id).await?)
    })?;
    output::print_document(&format!("{:#}", document(&data)));
    Ok(Exit::Success)
}

/// Without the hash of his password and without versions: they tell nothing of him.
fn document(data: &UserData) -> Value {
    let mut profile = output::user_json(&data.user);
    if let Value::Object(members) = &mut profile {
        members.remove("version");
    }
    let audit = data.audit.iter().map(audit::record_json_without_people);
    json!({
        "profile": profile,
        "sessions": data.sessions.iter().map(session).collect::<Vec<_>>(),
        "events": data.events.iter().map(event).collect::<Vec<_>>(),
        "audit": audit.collect::<Vec<_>>(),
    })
}

fn session(session: &Session) -> Value {
    json!({
        "id": session.id.to_string(),
        "created_at": output::rfc3339(session.created_at),
        "last_used_at": output::rfc3339(session.rotated_at),
        "expires_at": output::rfc3339(session.expires_at),
        "ended_at": session.revoked_at.map(output::rfc3339),
        "address": session.address.map(|address| address.to_string()),
        "agent": session.agent.as_ref().map(Agent::as_str),
    })
}

fn event(event: &UserEvent) -> Value {
    json!({
        "event_id": event.id.to_string(),
        "type": event.kind,
        "status": event.status.as_str(),
        "created_at": output::rfc3339(event.created_at),
        "delivered_at": event.delivered_at.map(output::rfc3339),
        "payload": STANDARD.encode(&event.payload),
    })
}
