//! One client and its user.

use std::{sync::Arc, time::Duration};

use sso_core::ports::Random;
use tokio::sync::watch;

use super::wire::Wire;
use crate::{
    history::{Grant, Outcome, Why},
    random::SeededRandom,
};

/// Between two calls, on average.
const PAUSE: Duration = Duration::from_millis(40);
/// Most sessions that it keeps alive: far below what the server allows.
const SESSIONS: usize = 8;
/// Most ended sessions whose tokens it still tries.
const OVER: usize = 20;

pub(super) struct Client {
    wire: Arc<Wire>,
    number: usize,
    seed: u64,
    random: SeededRandom,
    users: usize,
    passwords: usize,
    user: Option<Account>,
}

/// What it knows of its user.
struct Account {
    name: String,
    /// More than one while nobody knows what became of a change.
    passwords: Vec<String>,
    before: Option<String>,
    sessions: Vec<Grant>,
    over: Vec<Grant>,
}

impl Client {
    pub(super) fn new(wire: Arc<Wire>, number: usize, seed: u64) -> Self {
        let own = seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        Self {
            wire,
            number,
            seed,
            random: SeededRandom::new(own),
            users: 0,
            passwords: 0,
            user: None,
        }
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            self.step().await;
            let pause = PAUSE / 2 + PAUSE * u32::try_from(self.draw(100)).unwrap_or(0) / 100;
            if tokio::time::timeout(pause, stopped.wait_for(|stop| *stop))
                .await
                .is_ok()
            {
                return;
            }
        }
    }

    async fn step(&mut self) {
        let at = self.draw(self.wire.instances());
        let Some(mut user) = self.user.take() else {
            return self.register(at).await;
        };
        let which = self.draw(100);
        match which {
            0..45 => self.validate(at, &mut user).await,
            45..60 => self.validate_over(at, &user).await,
            60..72 => self.refresh(at, &mut user).await,
            72..82 => self.login(at, &mut user).await,
            82..86 => self.login_as_before(at, &user).await,
            86..91 => self.change_password(at, &mut user).await,
            91..95 => self.logout(at, &mut user).await,
            95..97 => self.logout_everywhere(at, &mut user).await,
            // Another user from now on.
            _ => return,
        }
        // Nobody gets in any more: the judge says whether that can be.
        if !user.passwords.is_empty() {
            self.user = Some(user);
        }
    }

    async fn register(&mut self, at: usize) {
        self.users += 1;
        let name = format!("user-{}-{}-{}", self.seed, self.number, self.users);
        let password = self.password();
        let outcome = self.wire.register(self.number, at, &name, &password).await;
        let sessions = match outcome {
            Outcome::Done {
                grant: Some(grant), ..
            } => vec![grant],
            // It may be there: a login will tell.
            Outcome::Unavailable | Outcome::Unknown => Vec::new(),
            _ => return,
        };
        self.user = Some(Account {
            name,
            passwords: vec![password],
            before: None,
            sessions,
            over: Vec::new(),
        });
    }

    async fn validate(&mut self, at: usize, user: &mut Account) {
        let Some(which) = self.session(user) else {
            return self.login(at, user).await;
        };
        let outcome = self
            .wire
            .validate(self.number, at, &user.sessions[which])
            .await;
        if outcome == Outcome::Refused(Why::Token) {
            user.end(which);
        }
    }

    async fn validate_over(&mut self, at: usize, user: &Account) {
        if user.over.is_empty() {
            return;
        }
        let which = self.draw(user.over.len());
        self.wire.validate(self.number, at, &user.over[which]).await;
    }

    async fn refresh(&mut self, at: usize, user: &mut Account) {
        let Some(which) = self.session(user) else {
            return self.login(at, user).await;
        };
        let outcome = self
            .wire
            .refresh(self.number, at, &user.sessions[which])
            .await;
        match outcome {
            Outcome::Done {
                grant: Some(grant), ..
            } => user.sessions[which] = grant,
            Outcome::Refused(_) => user.end(which),
            _ => {}
        }
    }

    async fn login(&mut self, at: usize, user: &mut Account) {
        if user.sessions.len() >= SESSIONS {
            return self.logout(at, user).await;
        }
        let which = self.draw(user.passwords.len());
        let password = user.passwords[which].clone();
        let outcome = self
            .wire
            .login(self.number, at, &user.name, &password)
            .await;
        match outcome {
            Outcome::Done {
                grant: Some(grant), ..
            } => {
                user.passwords = vec![password];
                user.sessions.push(grant);
            }
            Outcome::Refused(_) => {
                user.passwords.swap_remove(which);
            }
            _ => {}
        }
    }

    async fn login_as_before(&mut self, at: usize, user: &Account) {
        if let Some(before) = &user.before {
            self.wire.login(self.number, at, &user.name, before).await;
        }
    }

    async fn change_password(&mut self, at: usize, user: &mut Account) {
        let Some(which) = self.session(user) else {
            return self.login(at, user).await;
        };
        let ([from], to) = (user.passwords.as_slice(), self.password()) else {
            return self.login(at, user).await;
        };
        let from = from.clone();
        let (wire, session) = (Arc::clone(&self.wire), &user.sessions[which]);
        let change = (user.name.as_str(), from.as_str(), to.as_str());
        match wire.change_password(self.number, at, session, change).await {
            Outcome::Done { grant, .. } => {
                user.end_all();
                user.sessions.extend(grant);
                user.before = Some(from);
                user.passwords = vec![to];
            }
            Outcome::Unavailable | Outcome::Unknown => user.passwords.push(to),
            Outcome::Refused(Why::Token) => user.end(which),
            _ => {}
        }
    }

    async fn logout(&mut self, at: usize, user: &mut Account) {
        let Some(which) = self.session(user) else {
            return;
        };
        let outcome = self
            .wire
            .logout(self.number, at, &user.sessions[which])
            .await;
        if matches!(outcome, Outcome::Done { .. }) {
            user.end(which);
        }
    }

    async fn logout_everywhere(&mut self, at: usize, user: &mut Account) {
        let Some(which) = self.session(user) else {
            return;
        };
        let session = &user.sessions[which];
        let outcome = self
            .wire
            .logout_everywhere(self.number, at, &user.name, session)
            .await;
        if matches!(outcome, Outcome::Done { .. }) {
            user.end_all();
        }
    }

    fn session(&self, user: &Account) -> Option<usize> {
        (!user.sessions.is_empty()).then(|| self.draw(user.sessions.len()))
    }

    fn password(&mut self) -> String {
        self.passwords += 1;
        format!("password {} of client {}", self.passwords, self.number)
    }

    /// Below `bound`, which is not 0.
    fn draw(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        let bound = bound.max(1) as u64;
        usize::try_from(u64::from_le_bytes(bytes) % bound).unwrap_or(0)
    }
}

impl Account {
    fn end(&mut self, which: usize) {
        let ended = self.sessions.swap_remove(which);
        self.over.push(ended);
        if self.over.len() > OVER {
            self.over.remove(0);
        }
    }

    fn end_all(&mut self) {
        while !self.sessions.is_empty() {
            self.end(0);
        }
    }
}
