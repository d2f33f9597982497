//! Clients that use several instances at once and write down what they are told.
//!
//! Each client has one user at a time: it registers, logs in (with the password before, too),
//! refreshes, changes the password, logs out, also everywhere, and validates tokens, living ones and
//! ended ones, on an instance that is drawn anew for each call. Besides, each instance is asked to
//! validate a token that lives as long as the workload, 50 times a second, and to register somebody
//! ten times a second, whether the calls before were answered or not: what is not served for a
//! moment shows.

mod client;
mod revoker;
mod wire;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

use crate::{
    history::{Grant, History, Outcome},
    process::Server,
};
use client::Client;
use revoker::{Answered, Revoker};
use wire::Wire;

/// How often each instance is asked to validate the token that lives.
const VALIDATE: Duration = Duration::from_millis(20);
/// How often each instance is asked to register somebody.
const REGISTER: Duration = Duration::from_millis(100);
/// Most of these under way at once.
const UNDER_WAY: usize = 200;

const PASSWORD: &str = "the password of those who are steady";

/// The number of the first client that only asks the same again and again; that of instance `n` is
/// this plus `n`.
pub const STEADY: usize = 1_000;

/// The number of the first client that does nothing but revoke.
pub const REVOKERS: usize = 2_000;

/// Clients at work. Dropping it ends them, calls under way included.
#[derive(Debug)]
pub struct Workload {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
    answered: Arc<Answered>,
}

impl Workload {
    /// Starts so many clients of these instances. What they draw follows from `seed`.
    pub async fn start(
        history: &History,
        instances: &[&Server],
        clients: usize,
        seed: u64,
    ) -> Result<Self> {
        Self::revoking(history, instances, clients, 0, seed).await
    }

    /// The same with so many clients beside who do nothing but open sessions and end them.
    pub async fn revoking(
        history: &History,
        instances: &[&Server],
        clients: usize,
        revokers: usize,
        seed: u64,
    ) -> Result<Self> {
        let wire = Arc::new(Wire::new(history.clone(), instances).await?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for instance in 0..instances.len() {
            let name = format!("steady-{seed}-{instance}");
            let grant = steady_session(&wire, instance, &name).await?;
            let (wire, stopped) = (Arc::clone(&wire), stopped.clone());
            tasks.spawn(steady(wire, stopped, instance, name, grant));
        }
        for number in 0..clients {
            let client = Client::new(Arc::clone(&wire), number, seed);
            tasks.spawn(client.run(stopped.clone()));
        }
        let answered = Arc::<Answered>::default();
        for number in REVOKERS..REVOKERS + revokers {
            let revoker = Revoker::new(Arc::clone(&wire), number, seed, Arc::clone(&answered));
            tasks.spawn(revoker.run(stopped.clone()));
        }
        Ok(Self {
            stop,
            clients: tasks,
            answered,
        })
    }

    /// What the clients that only revoke were answered: `everywhere` so often, and `pending`.
    pub fn revoked(&self) -> (usize, usize) {
        let answered = &self.answered;
        (
            answered.everywhere.load(Ordering::Relaxed),
            answered.pending.load(Ordering::Relaxed),
        )
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

/// A session that nobody ends.
async fn steady_session(wire: &Wire, instance: usize, name: &str) -> Result<Grant> {
    let registered = wire.register(STEADY + instance, instance, name, PASSWORD);
    match registered.await {
        Outcome::Done {
            grant: Some(grant), ..
        } => Ok(grant),
        other => Err(anyhow::anyhow!("{other:?}")).context("a session that stays"),
    }
}

async fn steady(
    wire: Arc<Wire>,
    mut stopped: watch::Receiver<bool>,
    instance: usize,
    name: String,
    grant: Grant,
) {
    let mut calls = JoinSet::new();
    let mut registered = 0;
    let mut validate = tokio::time::interval(VALIDATE);
    let mut register = tokio::time::interval(REGISTER);
    validate.set_missed_tick_behavior(MissedTickBehavior::Skip);
    register.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let client = STEADY + instance;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = validate.tick() => {
                let (wire, grant) = (Arc::clone(&wire), grant.clone());
                calls.spawn(async move { wire.validate(client, instance, &grant).await });
            }
            _ = register.tick() => {
                registered += 1;
                let (wire, name) = (Arc::clone(&wire), format!("{name}-{registered}"));
                calls.spawn(async move {
                    wire.register(client, instance, &name, PASSWORD).await
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
