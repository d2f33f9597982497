use crate::ports::store::Revocation;

/// Tells the other instances at once what was committed here. It only hastens: a beat tells them
/// anyway.
pub trait Announcements: Send + Sync {
    /// Passes `entries` on, whose COMMIT was answered. Never waits and never fails: what cannot be
    /// passed on is lost, and costs the others a beat.
    fn announce(&self, entries: &[Revocation]);
}
