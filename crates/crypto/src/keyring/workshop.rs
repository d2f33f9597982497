//! Makes new keys and seals old ones anew: the port of the use cases.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use sso_core::{
    ports::{KeyMaker, KeySealer, NoKey, Random, store::SealedKey},
    values::KeyTag,
};

use super::{
    KeyRingError,
    algorithm::AccessAlgorithm,
    key::{Key, Times},
    master::MasterKey,
};
use crate::random::key_tag;

/// Makes keys under the master key in use, which can be replaced while it works.
pub struct KeyWorkshop {
    algorithm: AccessAlgorithm,
    master: RwLock<Arc<MasterKey>>,
    random: Arc<dyn Random>,
}

impl KeyWorkshop {
    /// New keys for access tokens are of `algorithm`.
    pub fn new(algorithm: AccessAlgorithm, master: MasterKey, random: Arc<dyn Random>) -> Self {
        Self {
            algorithm,
            master: RwLock::new(Arc::new(master)),
            random,
        }
    }

    /// The master key in use.
    pub fn master(&self) -> Arc<MasterKey> {
        Arc::clone(&self.master.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with another master key.
    pub fn adopt(&self, master: MasterKey) {
        *self.master.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(master);
    }
}

/// Without the master key.
impl fmt::Debug for KeyWorkshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWorkshop")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyMaker for KeyWorkshop {
    async fn make(&self, beside: SealedKey) -> Result<SealedKey, NoKey> {
        let (master, random) = (self.master(), Arc::clone(&self.random));
        let algorithm = self.algorithm;
        let work = move || {
            // Under another master key than the rest it could never be opened together with them.
            Key::open(&beside, &master)?;
            let times = Times {
                created_at: beside.created_at,
                signs_from: beside.signs_from,
            };
            Key::generate(beside.usage, algorithm, &master, random.as_ref(), times)
        };
        // An RSA key takes about a second of a processor.
        let made = tokio::task::spawn_blocking(work).await;
        Ok(made.map_err(|_| KeyRingError::Crypto)??)
    }

    fn tag(&self, kid: &str) -> KeyTag {
        key_tag(kid)
    }
}

/// Takes keys from one master key to another.
#[derive(Debug)]
pub struct Resealer {
    /// The master key that opens them.
    pub old: Arc<MasterKey>,
    /// The one that shall.
    pub new: Arc<MasterKey>,
    /// Where nonces come from.
    pub random: Arc<crate::SystemRandom>,
}

impl KeySealer for Resealer {
    fn reseal(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, NoKey> {
        let resealed = keys
            .iter()
            .map(|key| Key::reseal(key, &self.old, &self.new, self.random.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(resealed)
    }
}

impl From<KeyRingError> for NoKey {
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::WrongMasterKey { .. } => Self::OtherMasterKey(error.into()),
            error => Self::Crypto(error.into()),
        }
    }
}
