//! Where a test ends the process on an event's way: from the registration to the status `Success`, and
//! from the topic to its effect in a service.
//!
//! Only builds with debug assertions can be told to; in a release build [`passed`] is nothing.

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

/// Kills the process (SIGKILL: nothing is flushed, nobody is told) where the variable says, if it is
/// set: at `sent@3` when [`Step::Sent`] is passed for the third time. If it says something else, what it
/// should be: such as `example`.
#[cfg(debug_assertions)]
pub fn obey(variable: &str, example: &str) -> Result<(), String> {
    use rustix::process::{Signal, getpid, kill_process};

    let Ok(wanted) = std::env::var(variable) else {
        return Ok(());
    };
    let (step, count) = Step::parse(&wanted)
        .ok_or_else(|| format!("{variable} must be a step and a number, such as {example}"))?;
    let left = std::sync::atomic::AtomicU32::new(count);
    let hook = move |passed: Step| {
        if passed == step && left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            let _ = kill_process(getpid(), Signal::KILL);
            // Nothing happens after it.
            loop {
                std::thread::park();
            }
        }
    };
    // The first one stays.
    let _ = HOOK.set(Box::new(hook));
    Ok(())
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
