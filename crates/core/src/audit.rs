//! Records of the audit log, and the bound on those that strangers can cause.
//!
//! What somebody can do only once, or only with a good password, is written in the transaction of
//! what it tells of. What anybody can repeat (a wrong password, a replayed token) must not fill the
//! disk: it is noted in memory, summed up by account and network, and written by a loop in bounded
//! numbers. So a refused login also costs no write, whether the account exists or not.

mod journal;

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    caller::{Caller, Network, Origin},
    ports::{
        ThrottleReason,
        store::{Actor, AuditAction, AuditResult, MAX_DETAIL, NewAudit},
    },
    sso::Sso,
    values::{SessionId, UserId},
};

pub use journal::Journal;

/// Most accounts and networks that are told apart at once; about 1 MiB.
const MAX_KEYS: usize = 4096;
/// Most records that wait for a store that is away.
const MAX_RETURNED: usize = 1024;
/// What stands in the record of those beyond.
const BEYOND: &str = "more accounts and networks than are told apart";

/// Something that a stranger can repeat.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub(crate) action: AuditAction,
    pub(crate) result: AuditResult,
    pub(crate) user: Option<UserId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) detail: Option<Cow<'static, str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    action: AuditAction,
    result: AuditResult,
    actor: Actor,
    user: Option<UserId>,
    network: Network,
    detail: Option<Cow<'static, str>>,
}

#[derive(Debug)]
struct Sum {
    /// As it came last.
    record: NewAudit,
    /// Not written yet.
    times: u32,
    /// When it was written last.
    written: Option<OffsetDateTime>,
}

impl Sum {
    fn is_due(&self, now: OffsetDateTime) -> bool {
        self.times > 0 && self.has_rested(now)
    }

    fn has_rested(&self, now: OffsetDateTime) -> bool {
        self.written
            .is_none_or(|written| now - written >= Repeated::WINDOW || now < written)
    }

    fn take(&mut self, now: OffsetDateTime) -> NewAudit {
        self.written = Some(now);
        NewAudit {
            times: std::mem::take(&mut self.times),
            ..self.record.clone()
        }
    }
}

/// Sums of what strangers repeat, waiting to be written. Bounded in memory and in records an hour.
#[derive(Debug)]
pub struct Repeated {
    per_hour: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sums: HashMap<Key, Sum>,
    /// What found no room in `sums`, by what it was.
    beyond: HashMap<(AuditAction, AuditResult), Sum>,
    /// What the store did not take.
    returned: Vec<NewAudit>,
    /// Records that may be written now.
    allowance: f64,
    refilled: Option<OffsetDateTime>,
}

impl Repeated {
    /// An account and network that was written is summed up for this long before it is again.
    pub const WINDOW: Duration = Duration::from_mins(10);

    /// At most `per_hour` records an hour, a sixth of them at once; and one every ten minutes for
    /// each action of what could not be told apart.
    pub fn new(per_hour: u32) -> Self {
        let state = State {
            sums: HashMap::new(),
            beyond: HashMap::new(),
            returned: Vec::new(),
            allowance: burst(per_hour),
            refilled: None,
        };
        Self {
            per_hour,
            state: Mutex::new(state),
        }
    }

    fn note(&self, network: Network, record: NewAudit) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key {
            action: record.action,
            result: record.result,
            actor: record.actor.clone(),
            user: record.user,
            network,
            detail: record.detail.clone(),
        };
        let new = |record| Sum {
            record,
            times: 0,
            written: None,
        };
        let sum = if state.sums.len() < MAX_KEYS || state.sums.contains_key(&key) {
            state.sums.entry(key).or_insert_with(|| new(record.clone()))
        } else {
            let of = (key.action, key.result);
            let nobody = || {
                new(NewAudit {
                    actor: Actor::Anonymous,
                    detail: Some(Cow::Borrowed(BEYOND)),
                    ..NewAudit::new(record.at, record.action, record.result)
                })
            };
            let sum = state.beyond.entry(of).or_insert_with(nobody);
            sum.record.at = record.at;
            sum.times = sum.times.saturating_add(1);
            return;
        };
        sum.record = record;
        sum.times = sum.times.saturating_add(1);
    }

    /// What is due to be written at `now`. It must be written, or [given back](Self::give_back).
    pub(crate) fn take_due(&self, now: OffsetDateTime) -> Vec<NewAudit> {
        self.take(now, false)
    }

    /// Everything, before the end of the process.
    pub(crate) fn take_all(&self, now: OffsetDateTime) -> Vec<NewAudit> {
        self.take(now, true)
    }

    /// What the store did not take comes with what is due next. Says how many are lost: there is room
    /// for some minutes without a store.
    pub(crate) fn give_back(&self, mut records: Vec<NewAudit>) -> usize {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_RETURNED.saturating_sub(state.returned.len());
        let lost = records.len().saturating_sub(room);
        records.truncate(room);
        state.returned.append(&mut records);
        lost
    }

    fn take(&self, now: OffsetDateTime, all: bool) -> Vec<NewAudit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            sums,
            beyond,
            returned,
            allowance,
            refilled,
        } = &mut *state;
        refill(allowance, refilled, now, self.per_hour);
        let mut due = std::mem::take(returned);
        for sum in sums.values_mut() {
            let wanted = sum.is_due(now) || (all && sum.times > 0);
            // At the end of the process there is no next time.
            if wanted && (all || *allowance >= 1.0) {
                *allowance -= 1.0;
                due.push(sum.take(now));
            }
        }
        for sum in beyond.values_mut() {
            if sum.is_due(now) || (all && sum.times > 0) {
                due.push(sum.take(now));
            }
        }
        sums.retain(|_, sum| sum.times > 0 || !sum.has_rested(now));
        due.sort_by_key(|record| record.at);
        due
    }
}

fn burst(per_hour: u32) -> f64 {
    (f64::from(per_hour) / 6.0).max(1.0)
}

fn refill(
    allowance: &mut f64,
    refilled: &mut Option<OffsetDateTime>,
    now: OffsetDateTime,
    per_hour: u32,
) {
    let passed = refilled.map_or(0.0, |then| (now - then).as_seconds_f64().max(0.0));
    *allowance = (*allowance + passed * f64::from(per_hour) / 3600.0).min(burst(per_hour));
    *refilled = Some(now);
}

impl NewAudit {
    /// Done once, by nobody that is known, to nobody.
    pub const fn new(at: OffsetDateTime, action: AuditAction, result: AuditResult) -> Self {
        Self {
            at,
            action,
            result,
            actor: Actor::Anonymous,
            user: None,
            session: None,
            address: None,
            agent: None,
            times: 1,
            detail: None,
        }
    }

    /// With what is known of the caller.
    #[must_use]
    pub(crate) fn by(self, origin: &Origin, actor: Actor) -> Self {
        Self {
            actor,
            address: origin.address,
            agent: origin.agent.clone(),
            ..self
        }
    }

    /// Done to this user.
    #[must_use]
    pub(crate) fn about(self, user: UserId) -> Self {
        Self {
            user: Some(user),
            ..self
        }
    }

    /// Done by this user to himself, unless somebody else is known to have done it.
    #[must_use]
    pub(crate) fn by_user(self, user: UserId) -> Self {
        let actor = match self.actor {
            Actor::Anonymous => Actor::User(user),
            known => known,
        };
        Self { actor, ..self }.about(user)
    }

    /// Of this session.
    #[must_use]
    pub(crate) const fn of_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// In a few words of ours.
    #[must_use]
    pub(crate) fn with(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// It was not done.
    #[must_use]
    pub(crate) const fn refused(mut self) -> Self {
        self.result = AuditResult::Refused;
        self
    }
}

impl Sso {
    /// A record of something that the caller has done.
    pub(crate) fn record(&self, caller: &Caller, action: AuditAction) -> NewAudit {
        NewAudit::new(self.now(), action, AuditResult::Success).by(&caller.origin, caller.actor())
    }

    /// A record of something that the service has done by itself.
    pub(crate) fn record_of_ours(&self, action: AuditAction) -> NewAudit {
        NewAudit {
            actor: Actor::System,
            ..NewAudit::new(self.now(), action, AuditResult::Success)
        }
    }

    /// Notes that something came too often.
    pub fn note_throttled(&self, caller: &Caller, reason: ThrottleReason) {
        let repeat = Repeat {
            action: AuditAction::Throttle,
            result: AuditResult::Refused,
            user: caller.user().ok().map(|claims| claims.user),
            session: None,
            detail: Some(Cow::Borrowed(reason.as_str())),
        };
        self.note(caller, repeat);
    }

    /// Notes that the log level was changed by whoever reached the operator's listener.
    pub fn note_log_level(&self, origin: Origin, level: &str) {
        let repeat = Repeat {
            action: AuditAction::LogLevel,
            result: AuditResult::Success,
            user: None,
            session: None,
            detail: Some(Cow::Owned(level.chars().take(MAX_DETAIL).collect())),
        };
        self.note(&Caller::anonymous(origin), repeat);
    }

    /// Notes what strangers can repeat. Touches nothing but memory.
    pub(crate) fn note(&self, caller: &Caller, repeat: Repeat) {
        let record = NewAudit {
            result: repeat.result,
            user: repeat.user,
            session: repeat.session,
            detail: repeat.detail,
            ..self.record(caller, repeat.action)
        };
        self.repeated.note(caller.origin.network(), record);
    }
}

#[cfg(test)]
mod tests {
    use time::{ext::NumericalDuration, macros::datetime};
    use uuid::Uuid;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

    fn refused(user: u128) -> NewAudit {
        let record = NewAudit::new(NOW, AuditAction::Login, AuditResult::Refused);
        record.about(UserId::from_uuid(Uuid::from_u128(user)))
    }

    fn times(records: &[NewAudit]) -> Vec<u32> {
        records.iter().map(|record| record.times).collect()
    }

    #[test]
    fn the_first_is_written_at_once_and_the_next_are_summed_up() {
        let repeated = Repeated::new(600);
        repeated.note(Network::UNKNOWN, refused(1));
        assert_eq!(times(&repeated.take_due(NOW)), [1]);
        for _ in 0..100 {
            repeated.note(Network::UNKNOWN, refused(1));
        }
        assert!(repeated.take_due(NOW + 9.minutes()).is_empty());
        assert_eq!(times(&repeated.take_due(NOW + 10.minutes())), [100]);
        assert!(repeated.take_due(NOW + 30.minutes()).is_empty());
        assert!(repeated.state.lock().unwrap().sums.is_empty());
    }

    #[test]
    fn what_was_not_written_is_due_again_and_bounded() {
        let repeated = Repeated::new(600);
        repeated.note(Network::UNKNOWN, refused(1));
        let due = repeated.take_due(NOW);
        assert_eq!(repeated.give_back(due.clone()), 0);
        assert_eq!(repeated.take_due(NOW), due);
        let many = vec![due[0].clone(); MAX_RETURNED + 3];
        assert_eq!(repeated.give_back(many), 3);
        assert_eq!(repeated.take_due(NOW).len(), MAX_RETURNED);
    }

    #[test]
    fn accounts_and_networks_are_told_apart() {
        let repeated = Repeated::new(600);
        let elsewhere = Network::of(Some("192.0.2.1".parse().unwrap()));
        for (network, user) in [
            (Network::UNKNOWN, 1),
            (Network::UNKNOWN, 2),
            (elsewhere, 1),
            (elsewhere, 1),
        ] {
            repeated.note(network, refused(user));
        }
        let mut times = times(&repeated.take_due(NOW));
        times.sort_unstable();
        assert_eq!(times, [1, 1, 2]);
    }

    #[test]
    fn what_is_told_in_other_words_is_told_apart() {
        let repeated = Repeated::new(600);
        for reason in ["account", "address", "address"] {
            let record = NewAudit::new(NOW, AuditAction::Throttle, AuditResult::Refused);
            repeated.note(Network::UNKNOWN, record.with(reason));
        }
        let due = repeated.take_due(NOW);
        let mut told: Vec<_> = due.iter().map(|r| (r.detail.as_deref(), r.times)).collect();
        told.sort_unstable();
        assert_eq!(told, [(Some("account"), 1), (Some("address"), 2)]);
    }

    #[test]
    fn an_attacker_causes_no_more_records_than_the_hour_has() {
        let repeated = Repeated::new(600);
        let (mut written, mut told) = (0, 0);
        for second in 0..3_600_u32 {
            for user in 0..100 {
                repeated.note(Network::UNKNOWN, refused(u128::from(second * 100 + user)));
            }
            let due = repeated.take_due(NOW + i64::from(second).seconds());
            written += due.len();
            told += due.iter().map(|record| record.times).sum::<u32>();
        }
        // The hour's, a sixth for the start, and one every ten minutes for the rest.
        assert!((600..=706).contains(&written), "{written}");
        let rest = repeated.take_all(NOW + 1.hours());
        told += rest.iter().map(|record| record.times).sum::<u32>();
        let state = repeated.state.lock().unwrap();
        assert!(state.sums.len() <= MAX_KEYS);
        let left: u32 = state.sums.values().map(|sum| sum.times).sum();
        assert_eq!(told + left, 360_000);
    }

    #[test]
    fn at_the_end_of_the_process_everything_is_told() {
        let repeated = Repeated::new(600);
        repeated.note(Network::UNKNOWN, refused(1));
        repeated.take_due(NOW);
        repeated.note(Network::UNKNOWN, refused(1));
        assert_eq!(times(&repeated.take_all(NOW)), [1]);
        // Also what is more than the hour has.
        for user in 0..1_000 {
            repeated.note(Network::UNKNOWN, refused(user));
        }
        let told = times(&repeated.take_all(NOW));
        assert_eq!(told.iter().sum::<u32>(), 1_000);
    }
}
