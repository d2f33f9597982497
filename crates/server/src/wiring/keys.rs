//! The signing keys of this process: opened at the start, followed while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use sso_core::ports::{
    Clock, Store, StoreError,
    store::{KeyUse, SealedKey, UserPage},
};
use sso_crypto::{
    AccessAlgorithm, CompatSecret, JwsSettings, JwsTokens, KeyRing, KeyRingError, KeyWorkshop,
    MasterKey, Reloaded, SealedCursors, SystemRandom, VERIFIED_TOKENS,
};

use super::{
    Role,
    master_key::{self, Source},
    store::exit_of,
};
use crate::{
    config::{
        Config,
        section::{self, Algorithm, TokenMode},
    },
    exit::{Exit, Failed},
};

/// The keys, with what it takes to follow their changes.
pub(crate) struct Keys {
    /// Signs and verifies by the ring.
    pub(crate) tokens: Arc<JwsTokens>,
    /// Makes keys under the master key in use.
    pub(crate) workshop: Arc<KeyWorkshop>,
    /// Seals cursors under the master key of the start.
    pub(crate) cursors: Arc<SealedCursors>,
    /// Where the master key comes from.
    pub(crate) source: Source,
    /// What the ring in use was made of, and what was wrong with that.
    seen: RwLock<Seen>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    stored: Vec<SealedKey>,
    problem: Option<String>,
}

/// Opens the keys of the store; makes the first ones if it has none.
pub(super) async fn open(
    config: &Config,
    role: Role,
    store: &dyn Store,
    clock: Arc<dyn Clock>,
) -> Result<Keys, Failed> {
    let failed = |error: &StoreError| Failed::from_error(exit_of(error), error);
    let mut stored = store.keys().await.map_err(|error| failed(&error))?;
    let (master, source) = master_key::of(config, stored.is_empty(), &SystemRandom)?;
    let algorithm = algorithm(config.keys.algorithm);
    if stored.is_empty() {
        warn_of_emptied(store).await;
        let first = KeyRing::first_keys_of(algorithm, &master, &SystemRandom, clock.now());
        let first = first.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
        let made = store.insert_first_keys(&first).await;
        stored = made.map_err(|error| failed(&error))?;
    }
    let (ring, master) = open_ring(&stored, master, &source)?;
    if role == Role::Server {
        warn_of_algorithm(&stored, config.keys.algorithm);
    }
    let max_age = config.keys.jwks_max_age;
    let mut tokens = JwsTokens::new(settings(&config.tokens), ring).with_max_age(clock, max_age);
    if let (TokenMode::Hs256, Some(secret)) = (config.tokens.mode, &config.tokens.hs256_secret) {
        tokens = tokens.with_compat(CompatSecret::new(secret.reveal().as_bytes()));
    }
    let cursors = Arc::new(SealedCursors::new(&master));
    let workshop = KeyWorkshop::new(algorithm, master, Arc::new(SystemRandom));
    let seen = Seen {
        stored,
        problem: None,
    };
    Ok(Keys {
        tokens: Arc::new(tokens),
        workshop: Arc::new(workshop),
        cursors,
        source,
        seen: RwLock::new(seen),
    })
}

/// Opens the ring by the master key, or by the one beside it, if a reseal was cut off when the
/// database had it already.
fn open_ring(
    stored: &[SealedKey],
    master: MasterKey,
    source: &Source,
) -> Result<(KeyRing, MasterKey), Failed> {
    let error = match KeyRing::open(stored, &master) {
        Ok(ring) => return Ok((ring, master)),
        Err(error) => error,
    };
    if !matches!(error, KeyRingError::WrongMasterKey { .. }) {
        return Err(Failed::from_error(Exit::DataDamaged, &error));
    }
    if let Source::Folder(folder) = source
        && let Some(next) = master_key::next(folder)
        && let Ok(ring) = KeyRing::open(stored, &next)
    {
        let promoted = master_key::promote(folder);
        promoted.map_err(|error| {
            Failed::new(
                Exit::Failure,
                format!("{source} cannot be replaced: {error}"),
            )
        })?;
        return Ok((ring, next));
    }
    Err(Failed::new(
        Exit::Configuration,
        format!("{error}: give the master key of this database ({source})"),
    ))
}

/// A database with users and without keys has lost them.
async fn warn_of_emptied(store: &dyn Store) {
    let any = UserPage {
        after: None,
        limit: 1,
    };
    if store.users(any).await.is_ok_and(|users| !users.is_empty()) {
        tracing::warn!(
            "there are users and no signing keys: new keys are made, and everybody must sign in \
             again"
        );
    }
}

/// The setting is about new keys only, and somebody who has just changed it must not wonder.
fn warn_of_algorithm(stored: &[SealedKey], algorithm: Algorithm) {
    let newest = stored
        .iter()
        .filter(|key| key.usage == KeyUse::Access)
        .max_by_key(|key| key.signs_from);
    let wanted = name(algorithm);
    if let Some(key) = newest.filter(|key| key.algorithm != wanted) {
        tracing::warn!(
            wanted,
            signing = key.algorithm,
            "keys.algorithm takes effect with the next rotation: run `sso keys rotate`"
        );
    }
}

impl Keys {
    /// Looks at the stored keys, and goes on with another ring if they changed. Says what is wrong
    /// with them: then the keys that were known go on, and only what is stored no more is gone.
    /// Never called twice at once.
    pub(crate) async fn look(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
    ) -> Result<Option<String>, StoreError> {
        let asked = clock.monotonic();
        let stored = store.keys().await?;
        let seen = self.seen();
        let mut problem = seen.problem;
        if stored != seen.stored || problem.is_some() {
            problem = self
                .reload(&stored, clock)
                .err()
                .map(|error| error.to_string());
            *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Seen {
                stored,
                problem: problem.clone(),
            };
        }
        // An emptied ring is none: nothing is known of it.
        if problem.is_none() {
            self.tokens.ring_was_read(asked);
        }
        Ok(problem)
    }

    /// The keys that were stored at the last look.
    pub(crate) fn stored(&self) -> Vec<SealedKey> {
        self.seen().stored
    }

    fn seen(&self) -> Seen {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        Seen::clone(&seen)
    }

    fn reload(&self, stored: &[SealedKey], clock: &dyn Clock) -> Result<(), KeyRingError> {
        let Some(error) = self.use_ring(stored, &self.workshop.master(), clock)? else {
            return Ok(());
        };
        if matches!(error, KeyRingError::WrongMasterKey { .. }) {
            // Somebody has resealed: the new master key may lie where ours lay.
            for master in self.source.candidates() {
                if self.use_ring(stored, &master, clock)?.is_none() {
                    self.workshop.adopt(master);
                    tracing::info!(source = %self.source, "the new master key is in use");
                    return Ok(());
                }
            }
        }
        Err(error)
    }

    /// `Some`: why the ring has not all of what is stored.
    fn use_ring(
        &self,
        stored: &[SealedKey],
        master: &MasterKey,
        clock: &dyn Clock,
    ) -> Result<Option<KeyRingError>, KeyRingError> {
        let ring = self.tokens.ring();
        let Reloaded { ring, problem } = ring.reload(stored, master, clock.now())?;
        self.tokens.replace_ring(ring);
        Ok(problem)
    }
}

const fn algorithm(algorithm: Algorithm) -> AccessAlgorithm {
    match algorithm {
        Algorithm::EdDSA => AccessAlgorithm::EdDsa,
        Algorithm::ES256 => AccessAlgorithm::Es256,
        Algorithm::RS256 => AccessAlgorithm::Rs256,
    }
}

const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::EdDSA => "EdDSA",
        Algorithm::ES256 => "ES256",
        Algorithm::RS256 => "RS256",
    }
}

fn settings(tokens: &section::Tokens) -> JwsSettings {
    JwsSettings {
        issuer: tokens.issuer.as_str().to_owned(),
        audiences: tokens
            .audience
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        verified_tokens: VERIFIED_TOKENS,
    }
}
