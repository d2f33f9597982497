//! Whether the message that a schema's id stands for is ours: one question for all events that wait for it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync,
    time::{Instant, sleep_until},
};

use super::TELLING;
use crate::registry::{Registry, RegistryError};

/// What we understand.
const MESSAGE: &str = "Registration.v1.RegistrationMessage";
/// Most schemas that are remembered.
const REMEMBERED: usize = 1000;
/// First and longest pause between two questions for a schema.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A schema and the indexes of a message in it.
pub(super) type Place = (u32, Vec<usize>);
/// Whether a message is ours, or why not.
pub(super) type Judged = Result<(), String>;

/// Judges schemas.
#[derive(Debug)]
pub(super) struct Schemas {
    registry: Arc<Registry>,
    /// How long to wait for a schema that is not known.
    patience: Duration,
    judged: Mutex<HashMap<Place, Judged>>,
    /// By schema, for as long as anybody waits for it.
    questions: Mutex<HashMap<u32, Weak<Question>>>,
    /// When it was told last that the registry is away.
    told: Mutex<Option<Instant>>,
}

/// Who holds it asks; the others wait for what he hears.
type Question = sync::Mutex<Asked>;

/// How the last question went, if it brought no schema.
#[derive(Debug, Default)]
struct Asked {
    missing: Option<(Instant, Missing)>,
    pause: Option<Duration>,
    /// Not before.
    next: Option<Instant>,
}

/// Why there is no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The registry does not answer: says nothing of the event.
    Away,
    /// The registry answers, and does not know the schema.
    Unknown,
}

impl Schemas {
    pub(super) fn new(registry: Arc<Registry>, patience: Duration) -> Self {
        Self {
            registry,
            patience,
            judged: Mutex::default(),
            questions: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Judges the message at a place. Waits for as long as the registry is away, and not so long for a schema
    /// that it does not know.
    pub(super) async fn judge(&self, place: Place) -> Judged {
        if let Some(known) = self.known(&place) {
            return known;
        }
        let came = Instant::now();
        let question = self.question(place.0);
        loop {
            let since = Instant::now();
            let mut asked = question.lock().await;
            if let Some(known) = self.known(&place) {
                return known;
            }
            let missing = match asked.missing_since(since) {
                Some(missing) => missing,
                None => match self.ask(&mut asked, &place).await {
                    Ok(judged) => return judged,
                    Err(missing) => missing,
                },
            };
            drop(asked);
            if missing == Missing::Unknown && came.elapsed() >= self.patience {
                let id = place.0;
                return Err(format!("the schema registry does not know schema {id}"));
            }
        }
    }

    async fn ask(&self, asked: &mut Asked, place: &Place) -> Result<Judged, Missing> {
        if let Some(next) = asked.next {
            sleep_until(next).await;
        }
        let missing = match look(&self.registry, place).await {
            Ok(Some(judged)) => {
                self.remember(place, &judged);
                return Ok(judged);
            }
            Ok(None) => Missing::Unknown,
            Err(error) => {
                self.tell(&error);
                Missing::Away
            }
        };
        asked.note(missing);
        Err(missing)
    }

    /// The question for a schema, that of those who wait already.
    fn question(&self, schema: u32) -> Arc<Question> {
        let mut questions = locked(&self.questions);
        if let Some(question) = questions.get(&schema).and_then(Weak::upgrade) {
            return question;
        }
        questions.retain(|_, question| question.strong_count() > 0);
        let question = Arc::default();
        questions.insert(schema, Arc::downgrade(&question));
        question
    }

    fn known(&self, place: &Place) -> Option<Judged> {
        locked(&self.judged).get(place).cloned()
    }

    fn remember(&self, place: &Place, judged: &Judged) {
        let mut known = locked(&self.judged);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(place.clone(), judged.clone());
    }

    fn tell(&self, error: &RegistryError) {
        let mut told = locked(&self.told);
        if told.is_none_or(|at| at.elapsed() >= TELLING) {
            *told = Some(Instant::now());
            tracing::warn!(%error, "events wait for the schema registry");
        }
    }
}

impl Asked {
    /// What somebody has heard since then.
    fn missing_since(&self, since: Instant) -> Option<Missing> {
        let (at, missing) = self.missing?;
        (at > since).then_some(missing)
    }

    fn note(&mut self, missing: Missing) {
        let now = Instant::now();
        let pause = self.pause.unwrap_or(PAUSE.0);
        self.missing = Some((now, missing));
        self.next = Some(now + jittered(pause));
        self.pause = Some((pause * 2).min(PAUSE.1));
    }
}

/// Judges the message at a place by what the registry says now; `None`: it does not know the schema.
pub(super) async fn look(
    registry: &Registry,
    place: &Place,
) -> Result<Option<Judged>, RegistryError> {
    let (schema, path) = place;
    if i32::try_from(*schema).is_err() {
        // An id is an `int` of Java: a registry that is asked for more says that there is no such route,
        // as what is no registry does.
        return Ok(Some(Err("it names no schema".to_owned())));
    }
    match registry.schema(*schema).await {
        Ok(text) => Ok(text.map(|text| examine(&text, *schema, path))),
        Err(RegistryError::Invalid(why)) => Ok(Some(Err(why))),
        Err(error) => Err(error),
    }
}

/// Between half of it and all: instances do not come back at once.
fn jittered(pause: Duration) -> Duration {
    // Nothing but politeness depends on it: what seeds hash tables is random enough.
    let [byte, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    pause / 2 + pause.mul_f64(f64::from(byte) / 512.0)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the message at this path of the schema is ours.
fn examine(text: &str, schema: u32, path: &[usize]) -> Result<(), String> {
    let file = protox_parse::parse("schema.proto", text)
        .map_err(|_| format!("schema {schema} cannot be read"))?;
    let mut name = file.package().to_owned();
    let mut messages = &file.message_type;
    for index in path {
        let message = messages
            .get(*index)
            .ok_or_else(|| format!("schema {schema} has no message at {path:?}"))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(message.name());
        messages = &message.nested_type;
    }
    if name == MESSAGE {
        Ok(())
    } else {
        Err(format!("schema {schema} is of {name}, not of {MESSAGE}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::REGISTRATION_SCHEMA;

    #[test]
    fn the_path_leads_to_the_message_of_the_writer() {
        assert_eq!(examine(REGISTRATION_SCHEMA, 1, &[0]), Ok(()));
        let moved = "syntax = \"proto3\"; package Registration.v1;
            message Other { message Inner {} } message RegistrationMessage { string Email = 1; }";
        assert_eq!(examine(moved, 1, &[1]), Ok(()));
        for (path, told) in [
            (&[0][..], "is of Registration.v1.Other,"),
            (&[0, 0], "is of Registration.v1.Other.Inner,"),
            (&[2], "no message at [2]"),
            (&[1, 0], "no message at [1, 0]"),
        ] {
            let why = examine(moved, 1, path).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        assert!(
            examine("{}", 1, &[0])
                .unwrap_err()
                .contains("cannot be read")
        );
    }

    #[test]
    fn a_pause_is_half_of_it_at_least_and_seldom_the_same() {
        let pause = Duration::from_secs(10);
        let all: Vec<_> = (0..100).map(|_| jittered(pause)).collect();
        for one in &all {
            assert!(*one >= pause / 2 && *one <= pause, "{one:?}");
        }
        assert!(all.iter().any(|one| *one != all[0]));
    }

    #[test]
    fn what_was_heard_before_somebody_came_is_not_his() {
        let mut asked = Asked::default();
        assert_eq!(asked.missing_since(Instant::now()), None);
        asked.note(Missing::Away);
        let (heard, _) = asked.missing.unwrap();
        let earlier = heard - Duration::from_millis(1);
        assert_eq!(asked.missing_since(earlier), Some(Missing::Away));
        assert_eq!(asked.missing_since(heard), None);
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let mut asked = Asked::default();
        for _ in 0..10 {
            asked.note(Missing::Unknown);
        }
        assert_eq!(asked.pause, Some(PAUSE.1));
        let (heard, next) = (asked.missing.unwrap().0, asked.next.unwrap());
        assert!(next - heard >= PAUSE.1 / 2);
    }
}
