use std::{fmt, time::Duration};

use time::OffsetDateTime;

use crate::{
    caller::Origin,
    ports::{
        AccessClaims, AccessKind, RandomIds, RefreshClaims, SignError, StoreError, Tx,
        store::{
            Liveness, NewAudit, NewRevocation, NewSession, Reach, Revocation, Revoked, Session,
            Until, User,
        },
    },
    sso::Sso,
    values::{SessionId, UserId},
};

/// Both tokens of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Whose.
    pub user: UserId,
    /// Lives 15 minutes by default.
    pub access_token: String,
    /// Gets the next pair, once.
    pub refresh_token: String,
}

/// Without the tokens.
impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Sso {
    /// Signs both tokens from rows that the primary has returned to who `asked` it then: what ends them later
    /// must know how long they can live, however long this process was held up since. Nothing is read.
    pub(crate) fn issue(
        &self,
        user: &User,
        session: &Session,
        asked: OffsetDateTime,
    ) -> Result<SignedIn, SignError> {
        let now = self.clock.now();
        // No longer than this can the new token be good; see `revocation_until`. A clock that is
        // fast gives no token a longer life than the others take it to have.
        self.revocations.latest(now);
        let now = now.min(self.now()).min(asked);
        let now = whole_seconds(now);
        let access = AccessClaims {
            user: user.id,
            session: session.id,
            version: user.version,
            kind: AccessKind::Ring,
            email: user.email.as_typed().to_owned(),
            email_verified: user.email_verified,
            is_admin: user.is_admin,
            id: self.random.uuid_v4(),
            issued_at: now,
            expires_at: (now + self.policy.access_ttl).min(whole_seconds(session.expires_at)),
        };
        let refresh = RefreshClaims {
            user: user.id,
            session: session.id,
            generation: session.generation,
            issued_at: whole_seconds(session.rotated_at),
            expires_at: whole_seconds(session.expires_at),
        };
        Ok(SignedIn {
            user: user.id,
            access_token: self.tokens.sign_access(&access)?,
            refresh_token: self.tokens.sign_refresh(&refresh)?,
        })
    }

    /// A session of `user` that starts now.
    pub(crate) fn new_session(&self, user: UserId, origin: &Origin) -> NewSession {
        let now = self.now();
        NewSession {
            id: SessionId::from_uuid(self.random.uuid_v7(now)),
            user,
            created_at: now,
            expires_at: now + self.policy.refresh_ttl,
            address: origin.address,
            agent: origin.agent.clone(),
        }
    }

    /// Stores in `tx` that something is over.
    pub(crate) async fn revoke(
        &self,
        tx: &mut dyn Tx,
        revoked: Revoked,
    ) -> Result<Revocation, StoreError> {
        let until = self.revocation_until(tx).await?;
        tx.revoke(&NewRevocation { revoked, until }).await
    }

    /// The end of a transaction that ends something: what is over, the record of it, the COMMIT;
    /// then the others are told, and waited for.
    pub(crate) async fn commit_over(
        &self,
        tx: Box<dyn Tx>,
        revoked: Revoked,
        record: &NewAudit,
    ) -> Result<Reach, StoreError> {
        self.commit_all_over(tx, &[revoked], record).await
    }

    /// The same of several things.
    pub(crate) async fn commit_all_over(
        &self,
        mut tx: Box<dyn Tx>,
        over: &[Revoked],
        record: &NewAudit,
    ) -> Result<Reach, StoreError> {
        let mut entries = Vec::with_capacity(over.len());
        for revoked in over {
            entries.push(self.revoke(tx.as_mut(), *revoked).await?);
        }
        tx.append_audit(record).await?;
        tx.commit().await?;
        Ok(self.revocations.announce(&entries).await)
    }

    /// Until when a revocation made now can concern a token, by the clock that wrote its `exp`.
    pub(crate) async fn revocation_until(
        &self,
        tx: &mut dyn Tx,
    ) -> Result<OffsetDateTime, StoreError> {
        Ok(self.until().with(tx.longest_access_life().await?))
    }

    /// The same, for who learns only later how long tokens were made to live.
    pub(crate) fn until(&self) -> Until {
        let latest = self.revocations.latest(self.clock.now()).max(self.now());
        let least = latest + self.policy.revocation_life(Duration::ZERO);
        Until {
            least,
            from: least - self.policy.access_ttl,
        }
    }

    /// Says in the store how long the access tokens live that this process is going to sign. What is
    /// heard of a revocation is believed for as long as the longest of all processes lives.
    pub async fn remember_access_life(&self) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let longest = tx.remember_access_life(self.policy.access_ttl).await?;
        tx.commit().await?;
        self.revocations
            .hold_for(self.policy.revocation_life(longest));
        Ok(())
    }

    /// When a session is alive now, under the policy.
    pub(crate) fn alive(&self) -> Liveness {
        let now = self.now();
        Liveness {
            now,
            used_after: self.policy.session_idle_ttl.map(|idle| now - idle),
        }
    }

    /// When a session has access tokens that may be good: those of one that was not used for long are, for as
    /// long as they live.
    pub(crate) fn not_expired(&self) -> Liveness {
        Liveness {
            used_after: None,
            ..self.alive()
        }
    }

    /// The time by the store's clock, in the microseconds that stores keep: what is written is what
    /// is read.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let now = self.revocations.primary_now();
        now.replace_nanosecond(now.nanosecond() / 1_000 * 1_000)
            .unwrap_or(now)
    }
}

fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}
