//! Clients that use several instances at once and write down what they are told.
//!
//! Each client has one user at a time: it registers, logs in (with the password before, too),
//! refreshes, changes the password, logs out, also everywhere, and validates tokens, living ones and
//! ended ones, on an instance that is drawn anew for each call. Besides, each instance is asked to
//! validate a token that lives as long as the workload, 50 times a second, and to log its user in
//! ten times a second, whether the calls before were answered or not: what is not served for a
//! moment shows.

mod client;
mod wire;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

use crate::{
    history::{Action, Grant, History, Outcome},
    process::Server,
};
use client::Client;
use wire::Wire;

/// How often each instance is asked to validate the token that lives.
const VALIDATE: Duration = Duration::from_millis(20);
/// How often each instance is asked to log in.
const LOGIN: Duration = Duration::from_millis(100);
/// Most of these under way at once.
const UNDER_WAY: usize = 200;

/// The number of the first client that only asks the same again and again; that of instance `n` is
/// this plus `n`.
pub const STEADY: usize = 1_000;

/// Clients at work. Dropping it ends them, calls under way included.
#[derive(Debug)]
pub struct Workload {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Workload {
    /// Starts so many clients of these instances. What they draw follows from `seed`.
    pub async fn start(
        history: &History,
        instances: &[&Server],
        clients: usize,
        seed: u64,
    ) -> Result<Self> {
        let wire = Arc::new(Wire::new(history.clone(), instances).await?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for instance in 0..instances.len() {
            let (user, grant) = steady_user(&wire, instance, seed).await?;
            let (wire, stopped) = (Arc::clone(&wire), stopped.clone());
            tasks.spawn(steady(wire, stopped, instance, user, grant));
        }
        for number in 0..clients {
            let client = Client::new(Arc::clone(&wire), number, seed);
            tasks.spawn(client.run(stopped.clone()));
        }
        Ok(Self {
            stop,
            clients: tasks,
        })
    }

    /// Lets every client finish the call that it is making. Fails if one of them panicked.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        Ok(())
    }
}

/// A user with a session that nobody ends.
async fn steady_user(wire: &Wire, instance: usize, seed: u64) -> Result<(User, Grant)> {
    let user = User {
        name: format!("steady-{seed}-{instance}"),
        password: format!("the password of steady {instance}"),
    };
    let registered = wire
        .register(STEADY + instance, instance, &user.name, &user.password)
        .await;
    match registered {
        Outcome::Done {
            grant: Some(grant), ..
        } => Ok((user, grant)),
        other => Err(anyhow::anyhow!("{other:?}")).context("a user that stays"),
    }
}

#[derive(Debug, Clone)]
struct User {
    name: String,
    password: String,
}

async fn steady(
    wire: Arc<Wire>,
    mut stopped: watch::Receiver<bool>,
    instance: usize,
    user: User,
    grant: Grant,
) {
    let mut calls = JoinSet::new();
    let mut validate = tokio::time::interval(VALIDATE);
    let mut login = tokio::time::interval(LOGIN);
    validate.set_missed_tick_behavior(MissedTickBehavior::Skip);
    login.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let client = STEADY + instance;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = validate.tick() => {
                let (wire, grant) = (Arc::clone(&wire), grant.clone());
                calls.spawn(async move { wire.validate(client, instance, &grant).await });
            }
            _ = login.tick() => {
                let (wire, user) = (Arc::clone(&wire), user.clone());
                calls.spawn(async move {
                    wire.login(client, instance, &user.name, &user.password).await
                });
            }
        }
        while calls.try_join_next().is_some() {}
        while calls.len() > UNDER_WAY {
            calls.join_next().await;
        }
    }
    while calls.join_next().await.is_some() {}
}

/// Whether a call is one of those that are made again and again.
pub fn is_steady(client: usize, action: &Action) -> bool {
    client >= STEADY && matches!(action, Action::Validate { .. } | Action::Login { .. })
}
