//! One event, from the record to its end.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use sso_events::failpoint::{self, Step};
use tokio::{sync::Semaphore, time::sleep};
use tracing::Instrument;

use super::{
    Handler, Outcome, Taken,
    dead_letter::{DeadLetters, ORIGIN, RESENT},
    decode::Decoder,
    deferred::Deferred,
    keys::{Keys, Place, Standing},
    membership::Claim,
};
use crate::{metrics, traces};

/// First and longest pause while the dead-letter topic or the memory of parked keys is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Longest pause that a handler may ask for.
const LONGEST: Duration = Duration::from_hours(1);
/// How often a handler may panic at one event before that is parked.
const PANICS: u32 = 3;

/// What all events share.
pub(super) struct Work {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) decoder: Decoder,
    pub(super) dead_letters: DeadLetters,
    pub(super) parked: Keys,
    pub(super) room: Semaphore,
    pub(super) deferred: Deferred,
    pub(super) topic: String,
    pub(super) group: String,
}

/// What became of a record.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) taken: Taken,
    pub(super) generation: u64,
    /// Else it was given up, because the partition went.
    pub(super) done: bool,
}

/// The partition is not ours any more.
struct Over;

impl Work {
    pub(super) async fn run(self: Arc<Self>, taken: Taken, claim: Claim) -> Finished {
        let done = loop {
            let processed = AssertUnwindSafe(self.process(&taken, &claim)).catch_unwind();
            if let Ok(processed) = processed.await {
                break processed.is_ok();
            }
            tracing::error!(
                offset = taken.offset,
                "an event panicked outside of its handler"
            );
            if wait(&claim, PAUSE.1).await.is_err() {
                break false;
            }
        };
        Finished {
            taken,
            generation: claim.generation,
            done,
        }
    }

    async fn process(&self, taken: &Taken, claim: &Claim) -> Result<(), Over> {
        let resent = taken.header(RESENT);
        if resent.as_ref().is_some_and(|group| *group != self.group) {
            // It was parked by another group.
            return Ok(());
        }
        match self.standing(taken, claim).await? {
            Standing::Behind if resent.is_none() => {
                let why = "an earlier event of the same key is parked";
                return self.park(taken, claim, why).await;
            }
            Standing::Free | Standing::Behind => match self.attempt(taken, claim).await? {
                Ok(()) => metrics::consumed("done"),
                Err(why) => self.park(taken, claim, &why).await?,
            },
            Standing::Parked => {}
        }
        // Last: until then what follows of the key waits.
        self.release(taken, claim).await
    }

    async fn standing(&self, taken: &Taken, claim: &Claim) -> Result<Standing, Over> {
        let place = place(taken);
        let mut pause = PAUSE.0;
        loop {
            let found = self.parked.standing(place, &taken.key, claim.generation);
            match found.await {
                Ok(standing) => return Ok(standing),
                Err(error) => again(claim, &error, &mut pause).await?,
            }
        }
    }

    /// If it was sent again, the letter that it was is no more.
    async fn release(&self, taken: &Taken, claim: &Claim) -> Result<(), Over> {
        let Some(place) = taken.header(ORIGIN).and_then(|text| parse(&text)) else {
            return Ok(());
        };
        let mut pause = PAUSE.0;
        while let Err(error) = self.parked.release(place, &taken.key).await {
            again(claim, &error, &mut pause).await?;
        }
        Ok(())
    }

    /// Tries until there is an end: the effect, or a reason to park.
    async fn attempt(&self, taken: &Taken, claim: &Claim) -> Result<Result<(), String>, Over> {
        let decoded = tokio::select! {
            () = claim.over.cancelled() => return Err(Over),
            decoded = self.decoder.decode(taken) => decoded,
        };
        let event = match decoded {
            Ok(event) => event,
            Err(why) => return Ok(Err(why)),
        };
        let (mut panics, mut number) = (0, None);
        loop {
            let outcome = self.handle(&event, claim).await?;
            match outcome {
                Some(Outcome::Done) => return Ok(Ok(())),
                Some(Outcome::Park(why)) => return Ok(Err(why)),
                Some(Outcome::Retry(after)) => {
                    metrics::consumed("retried");
                    wait(claim, after.min(LONGEST)).await?;
                }
                Some(Outcome::Defer(after, why)) => {
                    metrics::consumed("retried");
                    let number = *number.get_or_insert_with(|| self.deferred.number());
                    tokio::select! {
                        waited = wait(claim, after.min(LONGEST)) => waited?,
                        () = self.deferred.in_the_way(number, taken) => {
                            self.handler.parked(&event);
                            return Ok(Err(format!("{why}, and others would wait for it")));
                        }
                    }
                }
                None => {
                    panics += 1;
                    tracing::error!(event_id = %event.id, panics, "the handler of an event panicked");
                    if panics >= PANICS {
                        return Ok(Err("its handler panics".to_owned()));
                    }
                    wait(claim, PAUSE.0).await?;
                }
            }
        }
    }

    /// `None`: it panicked.
    async fn handle(&self, event: &super::Event, claim: &Claim) -> Result<Option<Outcome>, Over> {
        let room = tokio::select! {
            () = claim.over.cancelled() => return Err(Over),
            room = self.room.acquire() => room.map_err(|_| Over)?,
        };
        if claim.over.is_cancelled() {
            return Err(Over);
        }
        failpoint::passed(Step::Taken);
        // Once begun it ends, whoever has the partition then: half an effect is worse than two.
        let span = traces::process(event, &self.topic, &self.group);
        let outcome = AssertUnwindSafe(self.handler.handle(event)).catch_unwind();
        let outcome = outcome.instrument(span.clone()).await;
        drop(room);
        if !matches!(outcome, Ok(Outcome::Done)) {
            traces::failed(&span);
        }
        Ok(outcome.ok())
    }

    async fn park(&self, taken: &Taken, claim: &Claim, why: &str) -> Result<(), Over> {
        let mut pause = PAUSE.0;
        let can_come_again = loop {
            match self.dead_letters.put(taken, why).await {
                Ok(whole) => break whole,
                Err(error) => {
                    tracing::error!(error, "an event cannot be parked; it waits");
                    wait(claim, pause).await?;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        };
        // Not before: a crash in between parks the event again, for its own reason. What cannot come
        // again would hold its key back for ever.
        let (partition, offset) = (taken.partition, taken.offset);
        while can_come_again && let Err(error) = self.parked.park(place(taken), &taken.key).await {
            again(claim, &error, &mut pause).await?;
        }
        metrics::consumed("parked");
        tracing::error!(
            partition,
            offset,
            why,
            "an event is parked in the dead-letter topic"
        );
        Ok(())
    }
}

fn place(taken: &Taken) -> Place {
    Place {
        partition: taken.partition,
        offset: taken.offset,
    }
}

/// Where a letter was before it was parked, as `<partition>:<offset>`.
fn parse(text: &str) -> Option<Place> {
    let (partition, offset) = text.split_once(':')?;
    Some(Place {
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
    })
}

/// The memory of parked keys is away.
async fn again(claim: &Claim, error: &str, pause: &mut Duration) -> Result<(), Over> {
    tracing::warn!(error, "events wait for the memory of parked keys");
    wait(claim, *pause).await?;
    *pause = (*pause * 2).min(PAUSE.1);
    Ok(())
}

async fn wait(claim: &Claim, time: Duration) -> Result<(), Over> {
    tokio::select! {
        () = claim.over.cancelled() => Err(Over),
        () = sleep(time) => Ok(()),
    }
}
