//! Uses of refresh tokens that meet are one statement: one plan, one commit and one flush of the log for
//! all of them, which is most of what each costs the primary.
//!
//! One that comes alone goes at once. While [`UNDER_WAY`] statements are under way the others wait for the
//! next, which takes [`TOGETHER`] of them at most, each session once. Rows that somebody else has locked are
//! left out, so that nobody waits for the session of another; these, and those that had nothing to move, are
//! done one by one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use sso_core::ports::{
    StoreError,
    store::{Rotate, Rotated, Rotation},
};
use sso_telemetry::traces::context;
use time::OffsetDateTime;
use tokio::{
    sync::oneshot,
    time::{timeout, timeout_at},
};
use tokio_postgres::Row;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{
    REFRESHES, RETRIES, WAITING,
    codec::{self, Columns, integer, session_columns, user_columns},
    error::Fault,
    servers::{self, Connection},
    store::PostgresStore,
};

/// Statements under way at once: one is planned and executed while the other waits for its commit.
const UNDER_WAY: usize = 2;
/// Where those have been under way for longer than [`SLOW`], their connections may hang: as many may be.
const AT_MOST: usize = 8;
const SLOW: Duration = Duration::from_millis(250);
/// Most uses of one statement.
const TOGETHER: usize = 64;
/// Before the primary is asked for again, when that failed at once.
const PAUSE: Duration = Duration::from_millis(50);

/// As `ROTATE`, of rows that nobody else holds.
pub(super) const ROTATE_ALL: &str = concat!(
    "WITH u AS (
         SELECT t.place, t.used, t.now, s.id AS session, u.*
         FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[])
                  WITH ORDINALITY AS t (id, used, now, used_after, place)
         JOIN sessions s ON s.id = t.id
         JOIN users u ON u.id = s.user_id
         WHERE s.generation <= t.used AND s.revoked_at IS NULL
           AND s.expires_at > t.now AND (t.used_after IS NULL OR s.rotated_at > t.used_after)
           AND s.version >= u.sessions_from AND NOT u.disabled
         FOR NO KEY UPDATE OF s SKIP LOCKED)
     UPDATE sessions s SET generation = u.used + 1, rotated_at = u.now
     FROM u WHERE s.id = u.session
     RETURNING u.place, ",
    user_columns!(),
    ", ",
    session_columns!()
);

/// The uses that wait for a statement.
#[derive(Default)]
pub(crate) struct Rotations(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: usize,
    /// When the newest statement began.
    begun: Option<Instant>,
    waiting: VecDeque<Waiting>,
    entered: u64,
    /// Why there was no connection, the last time there was none.
    why: Option<String>,
}

impl State {
    fn has_room(&self) -> bool {
        let is_slow = || self.begun.is_none_or(|begun| begun.elapsed() > SLOW);
        self.under_way < UNDER_WAY || (self.under_way < AT_MOST && is_slow())
    }

    fn show(&self) {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        gauge!(WAITING).set(waiting);
    }
}

struct Waiting {
    number: u64,
    rotate: Rotate,
    generation: i64,
    /// Of the request. The statement's is a child of one of them.
    span: Span,
    answer: oneshot::Sender<Result<Rotation, StoreError>>,
}

impl Waiting {
    fn tell(self, rotation: Result<Rotation, StoreError>) {
        // Who has gone does not hear it: to use the token again gives the same answer, within the grace.
        let _ = self.answer.send(rotation);
    }
}

impl Rotations {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it waited still: nothing was done then, and nothing will be.
    fn leave(&self, number: u64) -> bool {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.number != number);
        state.show();
        state.waiting.len() < before
    }
}

/// A place in the line, which is left with whoever waits there: his request may be dropped.
struct Place<'a> {
    rotations: &'a Rotations,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.rotations.leave(self.number);
    }
}

/// One of the statements that may be under way.
struct Turn {
    store: PostgresStore,
    /// It was given back.
    is_over: bool,
}

impl Turn {
    /// Those who are next, each session once; `None`: nobody waits, and the turn is over.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.store.shared.rotations.lock();
        let (mut next, mut later) = (Vec::<Waiting>::new(), VecDeque::new());
        while let Some(waiting) = state.waiting.pop_front() {
            let session = waiting.rotate.session;
            if next.len() == TOGETHER || next.iter().any(|one| one.rotate.session == session) {
                later.push_back(waiting);
            } else if !waiting.answer.is_closed() {
                next.push(waiting);
            }
        }
        state.waiting = later;
        state.show();
        if next.is_empty() {
            self.is_over = true;
            state.under_way -= 1;
            return None;
        }
        state.begun = Some(Instant::now());
        Some(next)
    }

    /// There is no connection. Whether nobody waits for one, which ends the turn.
    fn is_idle(&mut self, why: &StoreError) -> bool {
        let mut state = self.store.shared.rotations.lock();
        state.why = Some(why.to_string());
        if state.waiting.is_empty() {
            self.is_over = true;
            state.under_way -= 1;
        }
        self.is_over
    }

    async fn run(mut self) {
        loop {
            // Before it is settled who is next: all who come while there is no primary are.
            let connection = match self.store.shared.servers.primary().await {
                Ok(connection) => connection,
                Err(why) => {
                    if self.is_idle(&why) {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(next) = self.next() else { return };
            self.store.rotate_all(&connection, next).await;
        }
    }
}

/// Also on panic.
impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.store.shared.rotations.lock().under_way -= 1;
        }
    }
}

impl PostgresStore {
    /// Waits for a connection as others do, then for the answer.
    pub(crate) async fn rotate_with_others(&self, of: Rotate) -> Result<Rotation, StoreError> {
        let deadline = self.shared.servers.deadline();
        let (place, mut told) = self.enter(of)?;
        if let Ok(told) = timeout_at(deadline, &mut told).await {
            return told.map_err(StoreError::unavailable)?;
        }
        if self.shared.rotations.leave(place.number) {
            let why = self.shared.rotations.lock().why.clone();
            return Err(match why {
                Some(why) => StoreError::unavailable(why),
                None => StoreError::unavailable(servers::ConnectError::Timeout),
            });
        }
        let patience = servers::of_answer(self.shared.patience);
        match timeout(patience, told).await {
            Ok(told) => told.map_err(StoreError::unavailable)?,
            Err(_) => Err(Fault::Silent(patience).into()),
        }
    }

    fn enter(
        &self,
        rotate: Rotate,
    ) -> Result<(Place<'_>, oneshot::Receiver<Result<Rotation, StoreError>>), StoreError> {
        let generation = integer("generation", rotate.generation)?;
        let (answer, told) = oneshot::channel();
        let mut state = self.shared.rotations.lock();
        if state.waiting.len() >= self.shared.servers.max_waiting() {
            return Err(StoreError::unavailable(servers::ConnectError::Crowded));
        }
        let number = state.entered;
        state.entered += 1;
        state.waiting.push_back(Waiting {
            number,
            rotate,
            generation,
            span: Span::current(),
            answer,
        });
        state.show();
        if state.has_room() {
            state.under_way += 1;
            let turn = Turn {
                store: self.clone(),
                is_over: false,
            };
            tokio::spawn(turn.run());
        }
        drop(state);
        let rotations = &self.shared.rotations;
        Ok((Place { rotations, number }, told))
    }

    async fn rotate_all(&self, connection: &Connection, all: Vec<Waiting>) {
        counter!(REFRESHES).increment(1);
        // Else a request whose trace is sampled would show no statement.
        let sampled = all.iter().find(|one| context::is_sampled(&one.span));
        let span = sampled
            .or(all.first())
            .map_or_else(Span::none, |one| one.span.clone());
        let moved = self.move_all(connection, &all).instrument(span).await;
        let mut moved = match moved {
            Ok(moved) => moved,
            // Each by itself, as if nobody had been with it.
            Err(fault) if fault.is_severed() || fault.did_nothing() => {
                counter!(RETRIES).increment(u64::try_from(all.len()).unwrap_or(u64::MAX));
                Vec::new()
            }
            Err(fault) => {
                let fault = Arc::new(fault);
                for one in all {
                    one.tell(Err(Fault::of_all(&fault)));
                }
                return;
            }
        };
        for (place, one) in all.into_iter().enumerate() {
            match moved.iter().position(|row| row.place == place) {
                Some(at) => one.tell(moved.swap_remove(at).rotation()),
                None => self.rotate_later(one),
            }
        }
    }

    /// Beside the turn, which must not wait for a row; and for as long as somebody waits for the answer.
    fn rotate_later(&self, one: Waiting) {
        let (store, span) = (self.clone(), one.span.clone());
        let alone = async move {
            let Waiting {
                rotate, mut answer, ..
            } = one;
            let rotation = tokio::select! {
                rotation = store.rotate_alone(&rotate) => rotation,
                () = answer.closed() => return,
            };
            let _ = answer.send(rotation);
        };
        tokio::spawn(alone.instrument(span));
    }

    async fn move_all(
        &self,
        connection: &Connection,
        all: &[Waiting],
    ) -> Result<Vec<Moved>, Fault> {
        let of = |one: &Waiting| one.rotate.session.as_uuid();
        let ids: Vec<Uuid> = all.iter().map(of).collect();
        let generations: Vec<i64> = all.iter().map(|one| one.generation).collect();
        let now: Vec<OffsetDateTime> = all.iter().map(|one| one.rotate.now).collect();
        let used_after: Vec<_> = all.iter().map(|one| one.rotate.used_after).collect();
        let rows = self
            .on(
                connection,
                ROTATE_ALL,
                &[&ids, &generations, &now, &used_after],
            )
            .await?;
        rows.into_iter().map(Moved::of).collect()
    }
}

/// A session that moved.
struct Moved {
    /// From 0, of who asked.
    place: usize,
    row: Row,
}

impl Moved {
    fn of(row: Row) -> Result<Self, Fault> {
        let place: i64 = Columns::of(&row).take("place")?;
        let place = usize::try_from(place - 1).map_err(|_| Fault::Undecodable("place"))?;
        Ok(Self { place, row })
    }

    fn rotation(self) -> Result<Rotation, StoreError> {
        let mut columns = Columns::of(&self.row);
        let _: i64 = columns.take("place")?;
        let (user, session) = codec::user_and_session(&mut columns)?;
        Ok(Rotation::Rotated(Box::new(Rotated { session, user })))
    }
}
