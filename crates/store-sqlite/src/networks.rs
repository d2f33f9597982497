//! The networks from which users have signed in.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::{
    Network,
    ports::{
        StoreError,
        store::{MAX_NETWORKS, NetworkReads, Session},
    },
    values::Email,
};

use crate::{
    codec::micros,
    fault::Fault,
    query::{execute, one, scalar},
    store::SqliteStore,
};

const KNOWS: &str = "
    SELECT EXISTS (SELECT 1 FROM users u JOIN known_networks n ON n.user_id = u.id
                   WHERE u.email_canonical = :canonical AND n.network = :network)";

const REMEMBER: &str = "
    INSERT INTO known_networks (user_id, network, since) VALUES (:user, :network, :now)
    ON CONFLICT (user_id, network) DO UPDATE SET since = excluded.since
    WHERE known_networks.since < excluded.since - 86400000000";

const FORGET: &str = "
    DELETE FROM known_networks WHERE user_id = :user AND network IN (
        SELECT network FROM known_networks
        WHERE user_id = :user ORDER BY since DESC, network DESC LIMIT -1 OFFSET :keep)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[KNOWS, REMEMBER, FORGET];

/// Remembers where a session was opened from; writes only what is new or was not used for a day.
pub(crate) fn remember(connection: &Connection, session: &Session) -> Result<(), Fault> {
    let network = Network::of(session.address);
    if network == Network::UNKNOWN {
        return Ok(());
    }
    let user = session.user.as_uuid().into_bytes();
    let new = named_params! {
        ":user": user,
        ":network": network.bits().to_be_bytes(),
        ":now": micros(session.created_at),
    };
    if execute(connection, REMEMBER, new)? > 0 {
        let surplus = named_params! {":user": user, ":keep": MAX_NETWORKS};
        execute(connection, FORGET, surplus)?;
    }
    Ok(())
}

#[async_trait]
impl NetworkReads for SqliteStore {
    async fn knows_network(&self, email: &Email, network: Network) -> Result<bool, StoreError> {
        let canonical = email.canonical().to_owned();
        self.read(move |connection| {
            let params = named_params! {
                ":canonical": canonical,
                ":network": network.bits().to_be_bytes(),
            };
            one(connection, KNOWS, params, scalar)
        })
        .await
    }
}
