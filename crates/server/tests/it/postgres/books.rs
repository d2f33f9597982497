//! What people were told, and what is stored: neither may contradict the other.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use http::StatusCode;
use serde_json::json;
use sso_testkit::{
    http::{Http, Reply},
    servers::Node,
};

use super::cluster::Instance;
use crate::support::{rounds, unique};

/// The password of everybody here.
const PASSWORD: &str = "a long enough secret";

/// Who was told what when he registered.
#[derive(Debug, Default)]
pub(super) struct Books {
    told: Mutex<Vec<(String, bool)>>,
}

/// Whether it was done; else that it is to be tried again, by a refusal as it must be. Anything else
/// is an error.
pub(super) fn done(reply: &Reply) -> Result<bool> {
    match reply.status {
        StatusCode::OK | StatusCode::CREATED => Ok(true),
        StatusCode::SERVICE_UNAVAILABLE => {
            let later: u64 = reply.header("retry-after").parse()?;
            ensure!(later >= 1, "{reply:?}");
            ensure!(reply.json()["code"] == "unavailable", "{reply:?}");
            Ok(false)
        }
        _ => bail!("{reply:?}"),
    }
}

async fn log_in(http: &Http, email: &str) -> Result<Reply> {
    let body = json!({ "email": email, "password": PASSWORD });
    http.post("/auth/login", &body).await
}

impl Books {
    /// So many people register, `width` at once. No answer at all is an error.
    pub(super) async fn register(
        self: &Arc<Self>,
        at: &Arc<Instance>,
        count: usize,
        width: usize,
    ) -> Result<()> {
        rounds(count, width, |_| {
            let (books, at) = (Arc::clone(self), Arc::clone(at));
            async move {
                let email = format!("{}@example.com", unique());
                let body = json!({ "email": email, "password": PASSWORD });
                let reply = at.server.http.post("/auth/registration", &body).await?;
                let stored = done(&reply)?;
                let mut told = books.told.lock().unwrap_or_else(PoisonError::into_inner);
                told.push((email, stored));
                Ok(())
            }
        })
        .await
    }

    fn of(&self, stored: bool) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let those = told.iter().filter(|(_, was)| *was == stored);
        those.map(|(email, _)| email.clone()).collect()
    }

    /// How many were told that they are registered, and how many that they are to come again.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.of(true).len(), self.of(false).len())
    }

    /// Everybody who was told so can sign in, and who was told to come again is not there, unless
    /// nobody could know (`unknown`). All that is stored is whole.
    pub(super) async fn agree(
        &self,
        at: &Instance,
        (node, database): (&Node, &str),
        unknown: bool,
    ) -> Result<()> {
        for email in self.of(true) {
            let reply = log_in(&at.server.http, &email).await?;
            ensure!(reply.status == StatusCode::OK, "{email}: {reply:?}");
        }
        for email in self.of(false) {
            let reply = log_in(&at.server.http, &email).await?;
            let there = reply.status == StatusCode::OK;
            ensure!(
                reply.status == StatusCode::UNAUTHORIZED || (there && unknown),
                "{email}: {reply:?}"
            );
        }
        nothing_is_half_done(node, database).await
    }
}

/// Nobody is stored without a session and his event, and no event without him.
pub(super) async fn nothing_is_half_done(node: &Node, database: &str) -> Result<()> {
    let halves = "
        select (select count(*) from users u
                where not exists (select from sessions s where s.user_id = u.id)),
               (select count(*) from users u
                where not exists (select from outbox o where o.user_id = u.id)),
               (select count(*) from outbox o
                where not exists (select from users u where u.id = o.user_id))";
    let halves = node.execute_in(database, halves).await?;
    ensure!(halves == "0|0|0", "half done: {halves}");
    Ok(())
}
