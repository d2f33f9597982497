//! What may happen once, asked for by many at once at two processes.
//!
//! The contract of the store has the same of one process ("of fifty ..."). Seen red: with a rotation
//! that does not compare generations, a duplicate that is taken for damage (500), a session that is
//! ended again (24 ends), and a new password whatever the version (12 of 24).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::ensure;
use serde_json::json;
use sso_testkit::{http::Reply, persona::Persona, servers::Postgres};

use super::{cluster::Instance, *};
use crate::support::{rounds, unique};

/// How many at once.
const CROWD: usize = 24;
/// How many users, one after the other.
const USERS: usize = 6;

struct Both {
    instances: [Arc<Instance>; 2],
    // Of their own: both need many connections at once.
    server: Postgres,
}

impl Both {
    async fn start(change: impl Fn(&mut Site)) -> Result<Self> {
        let server = Postgres::start().await?;
        let url = server.url();
        let site = |mut site: Site| {
            site.set("SSO__THROTTLE__ENABLED", false);
            change(&mut site);
            site
        };
        let (one, two) = (site(on(&url)?), site(unmigrated(&url)?));
        let (one, two) = tokio::try_join!(Instance::start(one), Instance::start(two))?;
        Ok(Self {
            instances: [Arc::new(one), Arc::new(two)],
            server,
        })
    }

    async fn stored(&self, sql: &str) -> Result<String> {
        self.server.execute(sql).await
    }

    /// A crowd asks, by turns here and there; what was answered.
    async fn crowd<F: Future<Output = Result<Reply>> + Send + 'static>(
        &self,
        ask: impl Fn(Arc<Instance>, usize) -> F,
    ) -> Result<Vec<Reply>> {
        let answers = Arc::new(Mutex::new(Vec::new()));
        rounds(CROWD, CROWD, |number| {
            let asked = ask(Arc::clone(&self.instances[number % 2]), number);
            let answers = Arc::clone(&answers);
            async move {
                let reply = asked.await?;
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                answers.push(reply);
                Ok(())
            }
        })
        .await?;
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *answers))
    }

    async fn somebody(&self) -> Result<Persona> {
        Persona::register(&self.instances[0].server.http, &unique()).await
    }
}

/// How often each status was answered.
fn statuses(answers: &[Reply]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status.as_u16()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_uses_of_one_refresh_token_at_two_processes_one_rotates() -> Result<()> {
    let both = Both::start(|_| ()).await?;
    for _ in 0..USERS {
        let alice = both.somebody().await?;
        let answers = both
            .crowd(|at, _| {
                let alice = alice.at(&at.server.http);
                async move { alice.use_refresh_token(&alice.refresh).await }
            })
            .await?;
        ensure!(statuses(&answers) == BTreeMap::from([(200, CROWD)]));
        let next: BTreeSet<_> = answers
            .iter()
            .map(|answer| answer.json()["refresh_token"].to_string())
            .collect();
        ensure!(next.len() == 1, "{} different tokens", next.len());
        let stored = format!(
            "select generation, revoked_at is null from sessions where user_id = '{}'",
            alice.id
        );
        ensure!(both.stored(&stored).await? == "1|t");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_registrations_of_one_address_at_two_processes_one_is_made() -> Result<()> {
    let both = Both::start(|site| {
        site.set("SSO__HASHING__QUEUE_PER_THREAD", 128);
    })
    .await?;
    for number in 0..USERS {
        let answers = both
            .crowd(|at, of| async move {
                // One address, written in many ways.
                let mut email = format!("alice{number}@example.com");
                if let Some(letter) = email.get_mut(of % 5..=of % 5) {
                    letter.make_ascii_uppercase();
                }
                let body = json!({ "email": email, "password": "a long enough secret" });
                at.server.http.post("/auth/registration", &body).await
            })
            .await?;
        let counts = statuses(&answers);
        let wanted = BTreeMap::from([(201, 1), (409, CROWD - 1)]);
        ensure!(counts == wanted, "{counts:?}");
    }
    let rows = "select (select count(*) from users), (select count(*) from sessions),
                       (select count(*) from outbox)";
    let rows = both.stored(rows).await?;
    ensure!(rows == format!("{USERS}|{USERS}|{USERS}"), "{rows}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_logouts_of_one_session_at_two_processes_one_ends_it() -> Result<()> {
    let both = Both::start(|_| ()).await?;
    for _ in 0..USERS {
        let alice = both.somebody().await?;
        let answers = both
            .crowd(|at, _| {
                let alice = alice.at(&at.server.http);
                async move { alice.logout(&alice.access, false).await }
            })
            .await?;
        ensure!(statuses(&answers) == BTreeMap::from([(200, CROWD)]));
        let told = format!(
            "select count(*) from revocations r join sessions s on s.id = r.subject
             where s.user_id = '{}'",
            alice.id
        );
        let told = both.stored(&told).await?;
        ensure!(told == "1", "{told} ends of one session");
    }
    Ok(())
}

/// The last one of a user's that is allowed: the others end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_logins_at_two_processes_as_many_sessions_are_left_as_are_allowed() -> Result<()> {
    const KEPT: usize = 3;
    let both = Both::start(|site| {
        site.set("SSO__SESSIONS__MAX_PER_USER", KEPT)
            .set("SSO__HASHING__QUEUE_PER_THREAD", 128);
    })
    .await?;
    for _ in 0..USERS {
        let alice = both.somebody().await?;
        let answers = both
            .crowd(|at, _| {
                let alice = alice.at(&at.server.http);
                async move { alice.try_login(&alice.password).await }
            })
            .await?;
        ensure!(statuses(&answers) == BTreeMap::from([(200, CROWD)]));
        let stored = format!(
            "select count(*) filter (where revoked_at is null), count(*),
                    (select count(*) from revocations r
                     where r.subject in (select id from sessions where user_id = '{0}'))
             from sessions where user_id = '{0}'",
            alice.id
        );
        let stored = both.stored(&stored).await?;
        let wanted = format!("{KEPT}|{}|{}", CROWD + 1, CROWD + 1 - KEPT);
        ensure!(stored == wanted, "{stored}, not {wanted}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_changes_of_one_password_at_two_processes_one_is_made() -> Result<()> {
    let both = Both::start(|site| {
        site.set("SSO__HASHING__QUEUE_PER_THREAD", 128);
    })
    .await?;
    for _ in 0..USERS {
        let alice = both.somebody().await?;
        let answers = both
            .crowd(|at, of| {
                let mut alice = alice.at(&at.server.http);
                async move { alice.change_password(&format!("another secret {of}")).await }
            })
            .await?;
        let counts = statuses(&answers);
        // The others come too late, with a password or a token that is over.
        let wanted = BTreeMap::from([(200, 1), (401, CROWD - 1)]);
        ensure!(counts == wanted, "{counts:?}");
        let stored = format!(
            "select count(*) from sessions s join users u on u.id = s.user_id
             where u.id = '{}' and s.revoked_at is null and s.version >= u.sessions_from",
            alice.id
        );
        ensure!(both.stored(&stored).await? == "1");
    }
    Ok(())
}
