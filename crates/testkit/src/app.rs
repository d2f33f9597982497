//! The use cases on any store, with a clock moved by hand and seeded randomness.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Result;
use sso_core::{
    Caller, Failure, Fields, Policy, Sso,
    audit::Repeated,
    ports::{
        AccessClaims, Store, TokenRefused,
        store::{Reach, User},
    },
    revocation::{LeaseTerms, Revocations},
    throttle::{LocalThrottle, ThrottleSettings},
    usecases::{
        SignedIn,
        administer::{self, Change, Changed},
        change_password::{self, ChangePassword},
        login::{self, Login},
        logout::{self, Logout},
        refresh::{self, Refresh},
        register::{self, Register},
        validate,
    },
    values::UserId,
};
use sso_crypto::{
    AccessAlgorithm, Argon2Params, HashPool, HashPoolSettings, JwsSettings, JwsTokens, KeyRing,
    KeyWorkshop, MasterKey, SealedCursors, account_keys,
};

use crate::{clock::ManualClock, random::SeededRandom, tasks::TokioTasks};

/// Issuer and audience of the tokens of an [`App`].
pub const ISSUER: &str = "https://sso.test";

/// The use cases, ready to be called.
#[derive(Clone)]
pub struct App {
    /// What they work with.
    pub sso: Sso,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// Its tokens, with their keys.
    pub tokens: Arc<JwsTokens>,
    /// Its work after the answer.
    pub tasks: Arc<TokioTasks>,
}

impl App {
    /// The use cases on `store`, with hashes that cost nearly nothing and no failure floor.
    pub async fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Result<Self> {
        Self::with_policy(
            store,
            clock,
            Policy {
                failure_floor: Duration::ZERO,
                ..Policy::default()
            },
        )
        .await
    }

    /// The use cases on `store` under `policy`.
    pub async fn with_policy(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        policy: Policy,
    ) -> Result<Self> {
        Self::with_limits(store, clock, policy, ThrottleSettings::default()).await
    }

    /// The use cases on `store` under `policy` with other limits than the default ones.
    pub async fn with_limits(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        policy: Policy,
        throttle: ThrottleSettings,
    ) -> Result<Self> {
        let random = Arc::new(SeededRandom::new(7));
        let master = MasterKey::from_bytes(&[7; 32]);
        let first = KeyRing::first_keys(
            &master,
            random.as_ref(),
            sso_core::ports::Clock::now(clock.as_ref()),
        )?;
        let stored = store.insert_first_keys(&first).await?;
        let jws = JwsSettings {
            issuer: ISSUER.to_owned(),
            audiences: vec![ISSUER.to_owned()],
            verified_tokens: 64,
        };
        let tokens = Arc::new(JwsTokens::new(jws, KeyRing::open(&stored, &master)?));
        let cursors = Arc::new(SealedCursors::new(&master));
        let workshop = KeyWorkshop::new(AccessAlgorithm::default(), master, random.clone());
        let argon2 = Argon2Params {
            memory_kib: 64,
            iterations: 1,
            ..Argon2Params::default()
        };
        let threads = NonZeroU32::MIN.saturating_add(1);
        let pool = HashPoolSettings {
            threads,
            argon2,
            // A busy machine is no reason to fail.
            deadline: Duration::from_mins(1),
            ..HashPoolSettings::default()
        };
        let tasks = Arc::new(TokioTasks::default());
        let sso = Sso {
            hasher: Arc::new(HashPool::start(pool, random.clone())?),
            tokens: tokens.clone(),
            keys: Arc::new(workshop),
            revocations: Arc::new(
                Revocations::new(store.clone(), clock.clone(), LeaseTerms::default())
                    .telling(tokens.clone()),
            ),
            cursors,
            store,
            throttle: Arc::new(LocalThrottle::new(
                throttle,
                clock.clone(),
                account_keys(random.as_ref()),
            )),
            clock: clock.clone(),
            random,
            tasks: tasks.clone(),
            nudge: Arc::new(|_| {}),
            repeated: Arc::new(Repeated::new(600)),
            policy: Arc::new(policy),
        };
        sso.remember_access_life().await?;
        sso.revocations.beat().await?;
        Ok(Self {
            sso,
            clock,
            tokens,
            tasks,
        })
    }

    /// Registers `name`@example.com with the password of [`password_of`].
    pub async fn register(&self, name: &str) -> Result<SignedIn, Failure> {
        let (email, password) = (email_of(name), password_of(name));
        let input = register::Input {
            email: Some(&email),
            password: Some(&password),
            ..register::Input::default()
        };
        let request = Register::parse(&self.sso, &input, Fields::default())?;
        Ok(register::register(&self.sso, &anonymous(), request).await?)
    }

    /// Logs `name`@example.com in.
    pub async fn login(&self, name: &str, password: &str) -> Result<SignedIn, Failure> {
        self.login_from(&anonymous(), name, password).await
    }

    /// Logs `name`@example.com in as this caller.
    pub async fn login_from(
        &self,
        caller: &Caller,
        name: &str,
        password: &str,
    ) -> Result<SignedIn, Failure> {
        let email = email_of(name);
        let input = login::Input {
            email: Some(&email),
            password: Some(password),
        };
        Ok(login::login(&self.sso, caller, Login::parse(&input, Fields::default())?).await?)
    }

    /// Uses a refresh token.
    pub async fn refresh(&self, token: &str) -> Result<SignedIn, Failure> {
        let request = Refresh::parse("token", Some(token), Fields::default())?;
        Ok(refresh::refresh(&self.sso, &anonymous(), &request).await?)
    }

    /// Ends the session of a token, or all of its user.
    pub async fn logout(&self, token: &str, everywhere: bool) -> Result<Reach, Failure> {
        let request = Logout::parse(Some(token), everywhere, Fields::default())?;
        Ok(logout::logout(&self.sso, &anonymous(), &request).await?)
    }

    /// Changes the password of the user of an access token.
    pub async fn change_password(
        &self,
        access_token: &str,
        current: &str,
        new: &str,
    ) -> Result<SignedIn, Failure> {
        let caller = self.caller(access_token).await?;
        let input = change_password::Input {
            current_password: Some(current),
            new_password: Some(new),
        };
        let request = ChangePassword::parse(&self.sso, &caller, &input, Fields::default())?;
        let (signed_in, _) = change_password::change_password(&self.sso, &caller, request).await?;
        Ok(signed_in)
    }

    /// Changes a user as the operator.
    pub async fn change(&self, user: UserId, change: Change) -> Result<Changed, Failure> {
        Ok(administer::change(&self.sso, &Caller::operator(), user, change).await?)
    }

    /// Sets a user's password as the operator.
    pub async fn set_password(&self, user: UserId, password: &str) -> Result<Changed, Failure> {
        let operator = Caller::operator();
        Ok(administer::set_password(&self.sso, &operator, user, Some(password)).await?)
    }

    /// Validates an access token.
    pub async fn validate(&self, access_token: &str) -> Result<AccessClaims, TokenRefused> {
        validate::validate(&self.sso, access_token).await
    }

    /// Lets time pass for an instance whose beats go on.
    pub async fn advance(&self, by: Duration) -> Result<()> {
        self.clock.advance(by);
        Ok(self.sso.revocations.beat().await?)
    }

    /// The caller whom this access token speaks for.
    pub async fn caller(&self, access_token: &str) -> Result<Caller, Failure> {
        let origin = sso_core::Origin::default();
        Ok(validate::authenticate(&self.sso, origin, access_token).await?)
    }

    /// The user's row.
    pub async fn user(&self, id: UserId) -> Result<User> {
        let fresh = sso_core::ports::store::Freshness::Primary;
        let user = self.sso.store.user(id, fresh).await?;
        user.ok_or_else(|| anyhow::anyhow!("no such user"))
    }
}

/// The address of a persona.
pub fn email_of(name: &str) -> String {
    format!("{name}@example.com")
}

/// The password of a persona.
pub fn password_of(name: &str) -> String {
    format!("the secret of {name}")
}

/// A caller without credentials at this address.
pub fn stranger(address: [u8; 4]) -> Caller {
    Caller::anonymous(sso_core::Origin {
        address: Some(address.into()),
        ..sso_core::Origin::default()
    })
}

/// A caller without credentials.
pub fn anonymous() -> Caller {
    Caller::anonymous(sso_core::Origin::default())
}
