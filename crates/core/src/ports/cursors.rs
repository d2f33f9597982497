//! Where a list goes on, as clients carry it.

/// Seals places in lists, so that a client can neither make one up nor use it for another list.
/// All instances of one database seal alike.
pub trait Cursors: Send + Sync {
    /// The opaque text of `place` in the list that `query` names: visible ASCII.
    fn seal(&self, query: &str, place: &[u8]) -> String;

    /// The place that was sealed for this very list; `None` for anything else.
    fn open(&self, query: &str, cursor: &str) -> Option<Vec<u8>>;
}
