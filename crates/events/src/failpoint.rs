//! Where a test ends the process on an event's way: from the registration to the status `Success`, and
//! from the topic to its effect in a service.
//!
//! Only builds with debug assertions have a hook; in a release build [`passed`] is nothing. What
//! happens at a step is the process's to say ([`install`]), not the library's.

/// A step on the way, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The transaction with the event is about to be committed.
    BeforeCommit,
    /// It is committed; nobody has been told.
    AfterCommit,
    /// Events are given to the producer; no report has come.
    Sent,
    /// All reports are here; none is written down.
    Reported,
    /// The reports are written down.
    Settled,
    /// A service has taken an event from the topic and done nothing yet.
    Taken,
    /// It has begun: welcome has claimed the mail; loyalty is about to write.
    Begun,
    /// The effect is there and nobody knows: the mail server has said 250; the points are written and
    /// not committed.
    Effected,
    /// The effect is noted, or committed.
    Noted,
    /// The offset may be committed, and is not yet.
    Finished,
}

impl Step {
    /// Those of the relay.
    pub const RELAY: [Self; 5] = [
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::Sent,
        Self::Reported,
        Self::Settled,
    ];

    /// Those of a service.
    pub const SERVICE: [Self; 5] = [
        Self::Taken,
        Self::Begun,
        Self::Effected,
        Self::Noted,
        Self::Finished,
    ];

    /// Its name, in lower case with hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeCommit => "before-commit",
            Self::AfterCommit => "after-commit",
            Self::Sent => "sent",
            Self::Reported => "reported",
            Self::Settled => "settled",
            Self::Taken => "taken",
            Self::Begun => "begun",
            Self::Effected => "effected",
            Self::Noted => "noted",
            Self::Finished => "finished",
        }
    }

    /// The step and the number of a text such as `sent@3`.
    pub fn parse(text: &str) -> Option<(Self, u32)> {
        let (name, count) = text.split_once('@')?;
        let mut all = Self::RELAY.into_iter().chain(Self::SERVICE);
        let step = all.find(|step| step.name() == name)?;
        Some((step, count.parse().ok().filter(|count| *count > 0)?))
    }
}

#[cfg(debug_assertions)]
type Hook = Box<dyn Fn(Step) + Send + Sync>;

#[cfg(debug_assertions)]
static HOOK: std::sync::OnceLock<Hook> = std::sync::OnceLock::new();

/// Calls `hook` at every step from now on. The first one stays.
#[cfg(debug_assertions)]
pub fn install(hook: impl Fn(Step) + Send + Sync + 'static) {
    let _ = HOOK.set(Box::new(hook));
}

/// Calls `end` when `step` is passed for the `count`th time, and lets nothing happen after it.
#[cfg(debug_assertions)]
pub fn end_at((step, count): (Step, u32), end: impl Fn() + Send + Sync + 'static) {
    let left = std::sync::atomic::AtomicU32::new(count);
    install(move |passed| {
        if passed == step && left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            end();
            loop {
                std::thread::park();
            }
        }
    });
}

/// An event, or a batch of them, has come to this step.
#[inline]
pub fn passed(step: Step) {
    #[cfg(debug_assertions)]
    if let Some(hook) = HOOK.get() {
        hook(step);
    }
    #[cfg(not(debug_assertions))]
    let _ = step;
}
