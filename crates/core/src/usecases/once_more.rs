//! What the store certainly did not do is done once more, with the same ids.

use crate::{
    ports::StoreError,
    usecases::{administer::AdministerError, keys::KeysError, register::RegisterError},
};

/// Says of an error whether nothing was done.
pub(crate) trait MayBeUndone {
    /// Whether the same may be done again.
    fn is_undone(&self) -> bool;
}

impl MayBeUndone for StoreError {
    fn is_undone(&self) -> bool {
        matches!(self, Self::Undone(_))
    }
}

impl MayBeUndone for RegisterError {
    fn is_undone(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_undone())
    }
}

impl MayBeUndone for AdministerError {
    fn is_undone(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_undone())
    }
}

impl MayBeUndone for KeysError {
    fn is_undone(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_undone())
    }
}

/// A transaction from its begin to its commit; done again, once, if the first was not done.
pub(crate) async fn once_more<T, E, F>(mut transaction: impl FnMut() -> F) -> Result<T, E>
where
    E: MayBeUndone,
    F: Future<Output = Result<T, E>>,
{
    match transaction().await {
        Err(error) if error.is_undone() => transaction().await,
        done => done,
    }
}
