//! The networks from which users have signed in.

use async_trait::async_trait;
use sso_core::{
    Network,
    ports::{
        StoreError,
        store::{MAX_NETWORKS, NetworkReads},
    },
    values::{Email, UserId},
};

use crate::{codec, store::PostgresStore, tx::PostgresTx};

const KNOWS: &str = "
    SELECT EXISTS (SELECT 1 FROM users u JOIN known_networks n ON n.user_id = u.id
                   WHERE u.email_canonical = $1 AND n.network = $2)";

pub(crate) const FORGET: &str = "
    DELETE FROM known_networks WHERE user_id = $1 AND network = ANY (ARRAY(
        SELECT network FROM known_networks
        WHERE user_id = $1 ORDER BY since DESC, network DESC OFFSET $2))";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[KNOWS, FORGET];

/// A network as a column: its bits, as PostgreSQL has no unsigned numbers. `None` for the unknown
/// one.
pub(crate) fn column(network: Network) -> Option<i64> {
    (network != Network::UNKNOWN).then(|| network.bits().cast_signed())
}

impl PostgresTx {
    /// Those not used for longest, beyond the bound.
    pub(crate) async fn forget_surplus_networks(&mut self, user: UserId) -> Result<(), StoreError> {
        let (user, keep) = (user.as_uuid(), i64::from(MAX_NETWORKS));
        self.execute(FORGET, &[&user, &keep]).await
    }
}

#[async_trait]
impl NetworkReads for PostgresStore {
    /// What a replica does not know yet makes nobody wait longer than a stranger does; and a second
    /// question for some accounts would tell them apart.
    async fn knows_network(&self, email: &Email, network: Network) -> Result<bool, StoreError> {
        let Some(network) = column(network) else {
            return Ok(false);
        };
        let canonical = email.canonical();
        let known = self
            .read_near(KNOWS, &[&canonical, &network], codec::scalar, |_| true)
            .await?;
        Ok(known == Some(true))
    }
}
