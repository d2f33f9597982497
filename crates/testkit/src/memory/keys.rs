use async_trait::async_trait;
use sso_core::ports::{
    StoreError,
    store::{KeyWrites, RETIRED_KEYS_KEPT, RetiredKey, Retirement, SealedKey},
};
use time::OffsetDateTime;

use super::{state::State, tx::MemoryTx};

impl State {
    fn insert_keys(&mut self, new: &[SealedKey], seen: &[SealedKey]) -> bool {
        let was_retired = |key: &SealedKey| self.retired_keys.iter().any(|old| old.id == key.id);
        if self.keys != seen || new.iter().any(was_retired) {
            return false;
        }
        self.keys.extend(new.iter().cloned());
        self.keys
            .sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        true
    }

    fn retire_key(&mut self, id: &str, now: OffsetDateTime) -> Retirement {
        let Some(at) = self.keys.iter().position(|key| key.id == id) else {
            return Retirement::Unknown;
        };
        let usage = self.keys[at].usage;
        let signs = |key: &SealedKey| key.id != id && key.usage == usage && key.signs_from <= now;
        if !self.keys.iter().any(signs) {
            return Retirement::Last;
        }
        let key = self.keys.remove(at);
        let retired = RetiredKey {
            id: key.id,
            usage,
            algorithm: key.algorithm,
            created_at: key.created_at,
            signs_from: key.signs_from,
            retired_at: now,
        };
        self.retired_keys.push(retired.clone());
        self.retired_keys
            .sort_by(|a, b| (a.retired_at, &a.id).cmp(&(b.retired_at, &b.id)));
        let surplus = self
            .retired_keys
            .len()
            .saturating_sub(RETIRED_KEYS_KEPT as usize);
        self.retired_keys.drain(..surplus);
        Retirement::Retired(retired)
    }

    fn reseal_keys(&mut self, resealed: &[SealedKey], seen: &[SealedKey]) -> bool {
        if self.keys != seen {
            return false;
        }
        for (key, resealed) in self.keys.iter_mut().zip(resealed) {
            key.sealed.clone_from(&resealed.sealed);
        }
        true
    }
}

#[async_trait]
impl KeyWrites for MemoryTx {
    async fn insert_keys(
        &mut self,
        new: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        self.step(|state| Ok(state.insert_keys(new, seen)))
    }

    async fn retire_key(
        &mut self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<Retirement, StoreError> {
        self.step(|state| Ok(state.retire_key(id, now)))
    }

    async fn reseal_keys(
        &mut self,
        resealed: &[SealedKey],
        seen: &[SealedKey],
    ) -> Result<bool, StoreError> {
        self.step(|state| Ok(state.reseal_keys(resealed, seen)))
    }
}
