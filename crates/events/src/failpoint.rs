//! Where a test ends the process on an event's way from the registration to the status `Success`.
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
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::Sent,
        Self::Reported,
        Self::Settled,
    ];

    /// Its name, in lower case with hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeCommit => "before-commit",
            Self::AfterCommit => "after-commit",
            Self::Sent => "sent",
            Self::Reported => "reported",
            Self::Settled => "settled",
        }
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
