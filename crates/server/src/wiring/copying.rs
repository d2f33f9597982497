//! Both ends of a copy from one database to another.

use std::path::{Path, PathBuf};

use sso_core::ports::store::SealedKey;
use sso_crypto::{KeyRing, KeyRingError, MasterKey, SystemRandom};
use sso_store_postgres::{self as postgres, SchemaError, dump::Target, servers::ServerUrl};
use sso_store_sqlite::dump::Source;

use super::{
    master_key,
    store::{of_postgres, of_sqlite, settings},
};
use crate::{
    config::Config,
    exit::{Exit, Failed},
};

/// From the embedded database of this configuration to PostgreSQL.
pub(crate) struct Ends {
    /// Nobody works on it while this lives.
    pub(crate) source: Source,
    /// As it was found.
    pub(crate) target: Target,
    to: ServerUrl,
}

/// The master keys of both ends.
pub(crate) struct MasterKeys {
    /// Opens what is stored.
    pub(crate) old: MasterKey,
    /// Is to open what is copied; `None`: the same.
    pub(crate) new: Option<MasterKey>,
    /// Where the old one lies, in words.
    pub(crate) source: String,
    /// The file that holds it, if one does.
    pub(crate) file: Option<PathBuf>,
}

impl Ends {
    /// Opens the source first: it is at hand.
    pub(crate) async fn open(config: &Config, to: &ServerUrl) -> Result<Self, Failed> {
        if !config.database.url.is_embedded() {
            return Err(Failed::new(
                Exit::Configuration,
                "database.url is not the embedded database: only that can be copied; between \
                 servers of PostgreSQL use pg_dump, or a replica that is promoted",
            ));
        }
        let source = Source::open(&config.data_dir).map_err(|error| of_sqlite(&error))?;
        let mut database = config.database.clone();
        database.replicas.clear();
        let target = Target::open(&settings(to, &database)).await;
        Ok(Self {
            source,
            target: target.map_err(|error| of_target(&error))?,
            to: to.clone(),
        })
    }

    /// Everything is in the target: from now on nobody works on the source.
    pub(crate) fn mark_moved(&self) -> Result<(), Failed> {
        // It prints without a password.
        let marked = self.source.mark_moved(&self.to.to_string());
        marked.map_err(|error| of_sqlite(&error))
    }

    /// Fails unless the source's keys open.
    pub(crate) fn master_keys(
        config: &Config,
        stored: &[SealedKey],
        new: Option<&Path>,
    ) -> Result<MasterKeys, Failed> {
        let new = new.map(master_key::read).transpose()?;
        let (first, source) = master_key::of(config, false, &SystemRandom)?;
        let file = match &source {
            master_key::Source::Setting => None,
            master_key::Source::SettingFile(file) => Some(file.clone()),
            master_key::Source::Folder(folder) => Some(folder.join(master_key::FILE)),
        };
        let candidates = std::iter::once(first).chain(source.candidates());
        let mut failed = None;
        for old in candidates {
            match KeyRing::open(stored, &old) {
                Ok(_) => {
                    return Ok(MasterKeys {
                        old,
                        new,
                        source: source.to_string(),
                        file,
                    });
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let error = failed.unwrap_or(KeyRingError::Crypto);
        Err(Failed::new(
            Exit::Configuration,
            format!("{error}: give the master key of this database ({source})"),
        ))
    }
}

/// The sentences are about `database.url`, which is another one here.
fn of_target(error: &postgres::OpenError) -> Failed {
    if let postgres::OpenError::Schema(SchemaError::Behind { found, needed }) = error {
        return Failed::new(
            Exit::Configuration,
            format!(
                "--to has schema {found} and this program needs {needed}: run `sso migrate up` \
                 with database.url set to it"
            ),
        );
    }
    of_postgres(error).reworded(|said| match said.strip_prefix("database.url") {
        Some(rest) => format!("--to{rest}"),
        None => format!("--to: {said}"),
    })
}
