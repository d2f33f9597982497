//! One client that ends what it has just opened, again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sso_core::ports::Random;
use tokio::sync::watch;

use super::wire::Wire;
use crate::{
    history::{Grant, Outcome, Reach},
    random::SeededRandom,
};

/// Sessions that it opens for one user before it takes another.
const ROUNDS: usize = 50;
/// Most ended sessions whose tokens it still tries: of about the last minute.
const OVER: usize = 200;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(10);

/// What revocations were answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) everywhere: AtomicUsize,
    pub(super) pending: AtomicUsize,
}

pub(super) struct Revoker {
    wire: Arc<Wire>,
    number: usize,
    seed: u64,
    random: SeededRandom,
    answered: Arc<Answered>,
    users: usize,
    /// Those whose end was answered, the latest last.
    over: Vec<Grant>,
}

impl Revoker {
    pub(super) fn new(wire: Arc<Wire>, number: usize, seed: u64, answered: Arc<Answered>) -> Self {
        let own = seed.wrapping_mul(1_000_033).wrapping_add(number as u64);
        Self {
            wire,
            number,
            seed,
            random: SeededRandom::new(own),
            answered,
            users: 0,
            over: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let password = format!("the password of revoker {}", self.number);
        loop {
            self.users += 1;
            let user = format!("revoked-{}-{}-{}", self.seed, self.number, self.users);
            let at = self.draw(self.wire.instances());
            self.wire.register(self.number, at, &user, &password).await;
            for _ in 0..ROUNDS {
                let stop = stopped.wait_for(|stop| *stop);
                if tokio::time::timeout(PAUSE, stop).await.is_ok() {
                    return;
                }
                self.round(&user, &password).await;
            }
        }
    }

    /// Opens a session, uses it, ends it, and tries its token and an older one everywhere.
    async fn round(&mut self, user: &str, password: &str) {
        let instances = self.wire.instances();
        let [at, end, again] = [0; 3].map(|_| self.draw(instances));
        let outcome = self.wire.login(self.number, at, user, password).await;
        let Outcome::Done {
            grant: Some(grant), ..
        } = outcome
        else {
            return;
        };
        self.wire.validate(self.number, again, &grant).await;
        let ended = if self.draw(2) == 0 {
            self.wire.logout(self.number, end, &grant).await
        } else {
            self.wire
                .logout_everywhere(self.number, end, user, &grant)
                .await
        };
        if let Outcome::Done { reach, .. } = ended {
            match reach {
                Some(Reach::Everywhere) => &self.answered.everywhere,
                _ => &self.answered.pending,
            }
            .fetch_add(1, Ordering::Relaxed);
        }
        for instance in 0..instances {
            self.wire.validate(self.number, instance, &grant).await;
        }
        if !self.over.is_empty() {
            let before = self.draw(self.over.len());
            let older = &self.over[before];
            self.wire.validate(self.number, again, older).await;
        }
        self.over.push(grant);
        if self.over.len() > OVER {
            self.over.remove(0);
        }
    }

    /// Below `bound`, which is not 0.
    fn draw(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        let drawn = u64::from_le_bytes(bytes) % bound.max(1) as u64;
        usize::try_from(drawn).unwrap_or(0)
    }
}
