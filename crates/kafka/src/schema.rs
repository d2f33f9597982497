//! The schema of what we publish, and its id in the registry.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::registry::{Registry, RegistryError};

/// The schema of the topic's values, as the repository has it.
pub const REGISTRATION_SCHEMA: &str =
    include_str!("../../../proto/registration/v1/registration.proto");

/// What every new version must be: readable by who reads any older one, and the other way round for
/// data: the newest reader reads all that was ever written.
pub const COMPATIBILITY: &str = "BACKWARD_TRANSITIVE";

/// The subject of a topic's values (TopicNameStrategy).
pub fn subject_of(topic: &str) -> String {
    format!("{topic}-value")
}

/// Our schema under its subject: registered when first needed, its id remembered.
#[derive(Debug)]
pub(crate) struct Published {
    registry: Arc<Registry>,
    subject: String,
    id: Mutex<Option<u32>>,
}

impl Published {
    pub(crate) fn new(registry: Arc<Registry>, topic: &str) -> Self {
        Self {
            registry,
            subject: subject_of(topic),
            id: Mutex::new(None),
        }
    }

    /// Its id. Asks the registry only for the first time.
    pub(crate) async fn id(&self) -> Result<u32, RegistryError> {
        // One asks, the others wait for his answer.
        let mut id = self.id.lock().await;
        if let Some(id) = *id {
            return Ok(id);
        }
        let found = self.establish().await?;
        *id = Some(found);
        Ok(found)
    }

    /// Looks whether the registry still has it, and tells it again if not.
    pub(crate) async fn verify(&self) -> Result<(), RegistryError> {
        let found = self.establish().await?;
        let before = self.id.lock().await.replace(found);
        if let Some(before) = before.filter(|before| *before != found) {
            tracing::warn!(
                before,
                now = found,
                subject = self.subject,
                "the schema has another id: has the registry lost its data?"
            );
        }
        Ok(())
    }

    /// Looks whether it is there or would be taken. Changes nothing.
    pub(crate) async fn examine(&self) -> Result<(), RegistryError> {
        let found = self
            .registry
            .look_up(&self.subject, REGISTRATION_SCHEMA)
            .await?;
        if found.is_some() {
            return Ok(());
        }
        let judged = self
            .registry
            .compatible(&self.subject, REGISTRATION_SCHEMA)
            .await?;
        if judged.compatible {
            Ok(())
        } else {
            Err(RegistryError::Incompatible(judged.messages.join("; ")))
        }
    }

    async fn establish(&self) -> Result<u32, RegistryError> {
        self.ensure_level().await?;
        let found = self
            .registry
            .look_up(&self.subject, REGISTRATION_SCHEMA)
            .await?;
        if let Some(found) = found {
            return Ok(found.id);
        }
        let id = self
            .registry
            .register(&self.subject, REGISTRATION_SCHEMA)
            .await?;
        tracing::info!(id, subject = self.subject, "the schema is registered");
        Ok(id)
    }

    /// A level that promises less would let somebody else break the readers.
    async fn ensure_level(&self) -> Result<(), RegistryError> {
        let level = self.registry.level(&self.subject).await?;
        if matches!(&*level, COMPATIBILITY | "FULL_TRANSITIVE") {
            return Ok(());
        }
        match self.registry.set_level(&self.subject, COMPATIBILITY).await {
            // Who may not, still may register: the operator sets the level.
            Err(RegistryError::Unauthorised(_)) => {
                tracing::warn!(
                    level,
                    subject = self.subject,
                    "the subject's compatibility should be {COMPATIBILITY}, and we may not set it"
                );
                Ok(())
            }
            set => set,
        }
    }
}
