//! What is done with a registration.

use std::{panic, sync::Arc, time::Duration};

use async_trait::async_trait;
use lettre::Message;
use sso_events::failpoint::{self, Step};
use sso_kafka::consumer::{Event, Handler, Outcome};
use sso_service::{database::StoreError, world};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    mail::Composer,
    metrics,
    smtp::{Mailer, NotSent, Room},
    store::{Claim, Mail, Progress, Store},
    tries::{Blame, Failed, Tries},
};

/// Pause while the store is away.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Pause while the same mail is under way.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// How much longer a claim holds than sending may take: for the mark.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// Sends the mail of a registration once.
pub(crate) struct Greeter {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) mailer: Arc<Mailer>,
    pub(crate) composer: Composer,
    pub(crate) patience: Patience,
    /// This process, among those that may send.
    pub(crate) me: Uuid,
    pub(crate) tries: Tries,
    /// Mails on their way.
    pub(crate) under_way: TaskTracker,
}

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Registrations that are older get no mail; those that were tried by then are parked.
    pub(crate) remember: Duration,
    /// One answer of the mail server.
    pub(crate) answer: Duration,
    /// The answer to the text.
    pub(crate) text: Duration,
    /// First and longest pause.
    pub(crate) pause: (Duration, Duration),
    /// All tries of one mail that the server does not take.
    pub(crate) retry_for: Duration,
}

impl Patience {
    /// From the connection over TLS, the account and the envelope to the text: a dozen answers at
    /// most, and the last.
    fn hold(&self) -> Duration {
        self.answer * 12 + self.text + CLAIM_MARGIN
    }

    /// After that nobody tries a mail any more that this process has begun with.
    pub(crate) fn stale(&self) -> Duration {
        self.retry_for + self.pause.1 * 2 + self.hold()
    }
}

/// A mail that this process may send, on its way.
struct Sending {
    store: Arc<dyn Store>,
    mailer: Arc<Mailer>,
    me: Uuid,
    mail: Mail,
}

impl Sending {
    async fn run(self, message: Message, room: Room) -> Result<(), NotSent> {
        let sent = self.mailer.send(message, room).await;
        if sent.is_ok() {
            failpoint::passed(Step::Effected);
            self.mark().await;
            failpoint::passed(Step::Noted);
        } else if let Err(error) = self.store.release(self.mail.event, self.me).await {
            // Else another instance would wait for the claim to end.
            tracing::debug!(%error, "a claim is not released");
        }
        sent
    }

    /// The server has the mail: nothing but the end of this process may keep that from being noted.
    async fn mark(&self) {
        while let Err(error) = self.store.sent(self.mail, self.me).await {
            tracing::error!(%error, "a mail is sent, and that cannot be noted yet");
            sleep(STORE_PAUSE).await;
        }
    }
}

#[async_trait]
impl Handler for Greeter {
    async fn handle(&self, event: &Event) -> Outcome {
        // Its partition may have gone and come again while it is sent.
        let Some(_turn) = self.tries.begin(event.id) else {
            return Outcome::Retry(BUSY_PAUSE);
        };
        let outcome = self.greet(event).await;
        if !matches!(outcome, Outcome::Retry(_) | Outcome::Defer(..)) {
            self.tries.over(event.id);
        }
        outcome
    }

    fn parked(&self, event: &Event) {
        metrics::mail("gave_up");
        self.tries.over(event.id);
    }
}

impl Greeter {
    async fn greet(&self, event: &Event) -> Outcome {
        if self.is_too_old(event) {
            return self.too_old(event.id).await;
        }
        let message = match self.composer.compose(event.id, &event.message) {
            Ok(message) => message,
            Err(error) => {
                metrics::mail("parked");
                return Outcome::Park(error.to_string());
            }
        };
        let mail = Mail {
            event: event.id,
            user: event.user,
        };
        // Before the claim, which holds for the time of a dialogue and not for a wait for others'.
        let room = match self.mailer.room().await {
            Ok(room) => room,
            Err(not_sent) => return self.not_sent(event.id, not_sent),
        };
        if let Err(outcome) = self.claim(mail).await {
            return outcome;
        }
        failpoint::passed(Step::Begun);
        let sending = Sending {
            store: Arc::clone(&self.store),
            mailer: Arc::clone(&self.mailer),
            me: self.me,
            mail,
        };
        // By itself: whoever gives this event up, at the end of a drain, has not the mail back.
        let sending = sending.run(message, room).in_current_span();
        let sent = self.under_way.spawn(sending).await;
        let sent = sent.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            Err(error) => Err(NotSent::Away(error.to_string())),
        });
        match sent {
            Ok(()) => {
                self.tries.taken(Instant::now());
                metrics::mail("sent");
                tracing::info!("the welcome mail is sent");
                Outcome::Done
            }
            Err(not_sent) => self.not_sent(event.id, not_sent),
        }
    }

    /// Whether this process may send it now; if not, what becomes of its event.
    async fn claim(&self, mail: Mail) -> Result<(), Outcome> {
        let refused = match self.store.claim(mail, self.me, self.patience.hold()).await {
            Ok(Claim::Granted) => return Ok(()),
            Ok(Claim::Sent) => known(),
            Ok(Claim::Taken(left)) => Outcome::Retry(left),
            Ok(Claim::Forgotten) => {
                metrics::mail("forgotten");
                tracing::info!("the user is forgotten: there is no mail");
                Outcome::Done
            }
            Err(error) => store_away(&error),
        };
        Err(refused)
    }

    /// It is not begun any more. But what was tried in vain until it was too old is not dropped unseen.
    async fn too_old(&self, event: Uuid) -> Outcome {
        match self.store.progress(event).await {
            Ok(Progress::Untried) => {
                metrics::mail("too_old");
                tracing::warn!("the registration is older than mail.remember: it gets no mail");
                Outcome::Done
            }
            Ok(Progress::Tried) => {
                metrics::mail("gave_up");
                let why = "not sent before it was older than mail.remember: make that longer before \
                           it is sent again";
                Outcome::Park(why.to_owned())
            }
            Ok(Progress::UnderWay(left)) => Outcome::Retry(left),
            Ok(Progress::Sent) => known(),
            Err(error) => store_away(&error),
        }
    }

    fn not_sent(&self, event: Uuid, why: NotSent) -> Outcome {
        let blame = match why {
            NotSent::Away(_) | NotSent::Never(_) => Blame::Server,
            NotSent::BrokenOff(_) => Blame::Either,
            NotSent::NotNow(_) => Blame::Mail,
        };
        let Failed {
            count,
            refused_for,
            alone,
        } = self.tries.failed(event, blame, Instant::now());
        let pause = pause(self.patience.pause, count);
        let too_long = refused_for >= self.patience.retry_for;
        match why {
            NotSent::Never(why) => {
                metrics::mail("parked");
                Outcome::Park(why)
            }
            NotSent::NotNow(why) | NotSent::BrokenOff(why) if too_long => {
                metrics::mail("gave_up");
                Outcome::Park(format!("{why}, after {count} tries"))
            }
            NotSent::NotNow(why) | NotSent::BrokenOff(why) => {
                metrics::mail("retried");
                tracing::warn!(why, count, ?pause, "a mail is tried again later");
                if alone {
                    Outcome::Defer(pause, format!("{why}, after {count} tries"))
                } else {
                    Outcome::Retry(pause)
                }
            }
            NotSent::Away(why) => {
                metrics::mail("retried");
                tracing::warn!(why, count, ?pause, "the mail server is away; mails wait");
                Outcome::Retry(pause)
            }
        }
    }

    fn is_too_old(&self, event: &Event) -> bool {
        let Some(at) = event.message.registered_at else {
            return false;
        };
        let age = world::now().unix_timestamp().saturating_sub(at.seconds);
        u64::try_from(age).is_ok_and(|age| age > self.patience.remember.as_secs())
    }
}

fn known() -> Outcome {
    metrics::mail("known");
    tracing::debug!("the mail was sent before");
    Outcome::Done
}

fn store_away(error: &StoreError) -> Outcome {
    tracing::warn!(%error, "mails wait for the database");
    Outcome::Retry(STORE_PAUSE)
}

/// Twice as long each time, and up to a quarter more, so that those that failed together do not come
/// together again.
fn pause((first, longest): (Duration, Duration), count: u32) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1).min(20)));
    let pause = doubled.min(longest);
    let share = u32::from(world::new_id().as_bytes()[15]);
    pause + pause / 4 * share / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let bounds = (Duration::from_secs(1), Duration::from_mins(1));
        for (count, least) in [(1, 1), (2, 2), (3, 4), (7, 60), (1000, 60)] {
            let pause = pause(bounds, count);
            let least = Duration::from_secs(least);
            assert!(
                (least..=least * 5 / 4).contains(&pause),
                "{count}: {pause:?}"
            );
        }
    }
}
