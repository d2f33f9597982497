//! Revocations are written with what caused them. How instances learn of them is the leases'.

use async_trait::async_trait;
use sso_core::ports::{
    StoreError,
    store::{Effect, NewRevocation, Revocation, RevocationWrites, Revoked},
};

use crate::{
    codec::{self, KEY, SESSION, USER, revocation_columns, version},
    commit::Witness,
    query::one,
    tx::PostgresTx,
};

const INSERT: &str = concat!(
    "INSERT INTO revocations AS r (kind, subject, version, effect, until)
     VALUES ($1, $2, $3, $4, $5)
     RETURNING ",
    revocation_columns!()
);

/// In whose snapshot this transaction is visible, to him is everything that this one sees.
const STAMP: &str = "
    SELECT current_timeline() AS \"revocations.timeline\",
           pg_current_xact_id()::text AS \"revocations.xid\"";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[INSERT, STAMP];

#[async_trait]
impl RevocationWrites for PostgresTx {
    async fn revoke(&mut self, new: &NewRevocation) -> Result<Revocation, StoreError> {
        let (kind, subject, below, effect) = match new.revoked {
            Revoked::Session(session) => (SESSION, session.as_uuid(), None, None),
            Revoked::TokensBelow(user, below) => {
                let below = version(below)?;
                (USER, user.as_uuid(), Some(below), self.effect)
            }
            Revoked::Key(key) => (KEY, key.as_uuid(), None, None),
        };
        self.durable = true;
        let effect = effect.map(Effect::as_str);
        let rows = self
            .rows(INSERT, &[&kind, &subject, &below, &effect, &new.until])
            .await?;
        let entry = one(&rows, codec::revocation)?;
        self.witness.get_or_insert(Witness::Revocation(entry.id));
        Ok(entry)
    }

    async fn revoked_before(
        &mut self,
        revocation: &NewRevocation,
    ) -> Result<Revocation, StoreError> {
        self.durable = true;
        let rows = self.rows(STAMP, &[]).await?;
        Ok(Revocation {
            id: 0,
            revoked: revocation.revoked,
            effect: None,
            until: revocation.until,
            stamp: one(&rows, codec::stamp)?,
        })
    }
}
