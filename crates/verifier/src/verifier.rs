use std::{
    fmt,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use http::HeaderMap;
use quick_cache::sync::Cache;
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use crate::{
    Builder, Claims, Refused, WhenSilent,
    ask::{Questions, Vouched},
    clock::{milliseconds, monotonic, now},
    jwks::Jwks,
    token::{Compact, MAX_BYTES},
    watch::{BOUND, Watcher},
};

/// How often [`Verifier::until_ready`] looks.
const LOOK: Duration = Duration::from_millis(10);

/// Says who is calling. Cheap to clone; clones are the same verifier, which stops with the last.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
    _running: Arc<DropGuard>,
}

/// How a verifier is doing, for a readiness page or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// For how long the revocations are believed if nothing more is heard; zero: they are not.
    pub trusted_for: Duration,
    /// The instance whose revocations are heard.
    pub heard: Option<String>,
    /// How many keys are known.
    pub keys: usize,
    /// How many revocations are known.
    pub revocations: usize,
    /// What is wrong, in a sentence.
    pub problem: Option<String>,
}

/// Whose tokens are accepted, and for whom.
pub(crate) struct Rules {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
}

pub(crate) struct Inner {
    rules: Rules,
    pub(crate) jwks: Arc<Jwks>,
    watcher: Arc<Watcher>,
    questions: Questions,
    when_silent: WhenSilent,
    /// Good tokens by their digest. Forged ones never enter: they could push out the good.
    remembered: Option<Cache<Digest, Arc<Read>>>,
}

/// A token's name: no credential lies in memory longer than its request.
type Digest = [u8; 32];

/// A token whose signature, type, issuer and audience are good.
struct Read {
    claims: Claims,
    /// The key that signed it, by its `kid` and as revocations name it.
    kid: String,
    key: Uuid,
    /// Until when the service has vouched for it, in milliseconds of the monotonic clock.
    vouched_until: AtomicU64,
}

/// Why a token was not read.
enum Unread {
    Refused(Refused),
    /// Its key is not known here.
    UnknownKey,
}

impl From<Refused> for Unread {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Verifier {
    /// Begins a verifier of the tokens of this issuer (`iss`), which is `http.public_url` of `sso`
    /// unless its operator has said otherwise.
    pub fn builder(issuer: impl Into<String>) -> Builder {
        Builder::new(issuer.into())
    }

    pub(crate) fn new(inner: Inner, running: DropGuard) -> Self {
        Self {
            inner: Arc::new(inner),
            _running: Arc::new(running),
        }
    }

    /// Whether an access token is good now, and what it says.
    ///
    /// Nearly always it is known at once. It waits, for some seconds at most, when the token names a
    /// key that is not known yet, and with [`WhenSilent::Ask`] while the revocations are not heard.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let outcome = self.inner.verify(token).await;
        self.inner.watcher.metrics.token(&outcome);
        outcome
    }

    /// As [`verify`](Self::verify), but never waits: where it would,
    /// [`Unknowable`](Refused::Unknowable).
    pub fn verify_now(&self, token: &str) -> Result<Claims, Refused> {
        let outcome = self.inner.verify_now(token);
        self.inner.watcher.metrics.token(&outcome);
        outcome
    }

    /// As [`verify`](Self::verify), of the one token of the one `Authorization: Bearer` header.
    pub async fn verify_headers(&self, headers: &HeaderMap) -> Result<Claims, Refused> {
        match crate::tower::bearer(headers) {
            Some(token) => self.verify(token).await,
            None => Err(Refused::Invalid),
        }
    }

    /// Whether tokens are validated in process: the keys are known, and the revocations are heard.
    pub fn ready(&self) -> bool {
        self.inner.jwks.keys().len() > 0 && self.inner.watcher.trust.holds()
    }

    /// Waits until it is [ready](Self::ready), at most for this long; whether it is.
    pub async fn until_ready(&self, patience: Duration) -> bool {
        let ready = async {
            while !self.ready() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(patience, ready).await.is_ok()
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let (jwks, watcher) = (&self.inner.jwks, &self.inner.watcher);
        let view = watcher.view.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            trusted_for: watcher.trust.left(),
            heard: view.heard.clone(),
            keys: jwks.keys().len(),
            revocations: watcher.set.len(),
            problem: jwks.problem().or_else(|| view.problem.clone()),
        }
    }
}

/// How it is doing; nothing secret.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.status()).finish()
    }
}

impl Inner {
    pub(crate) fn new(
        rules: Rules,
        jwks: Arc<Jwks>,
        watcher: Arc<Watcher>,
        questions: Questions,
        when_silent: WhenSilent,
        remembered: usize,
    ) -> Self {
        Self {
            rules,
            jwks,
            watcher,
            questions,
            when_silent,
            remembered: (remembered > 0).then(|| Cache::new(remembered)),
        }
    }

    fn verify_now(&self, token: &str) -> Result<Claims, Refused> {
        let read = match self.read(token) {
            Ok(read) => read,
            Err(Unread::Refused(refused)) => return Err(refused),
            Err(Unread::UnknownKey) => return Err(Refused::Unknowable),
        };
        self.judge(&read)?;
        Ok(read.claims.clone())
    }

    async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let read = match self.read(token) {
            Ok(read) => read,
            Err(Unread::Refused(refused)) => return Err(refused),
            Err(Unread::UnknownKey) => match self.read_with_new_keys(token).await? {
                Some(read) => read,
                None => return self.vouched_unread(token).await,
            },
        };
        match self.judge(&read) {
            Err(Refused::Unknowable) if self.when_silent == WhenSilent::Ask => {
                self.vouched(&read, token).await?;
            }
            judged => judged?,
        }
        Ok(read.claims.clone())
    }

    /// Everything but time and revocation.
    fn read(&self, token: &str) -> Result<Arc<Read>, Unread> {
        if token.len() > MAX_BYTES {
            return Err(Refused::Invalid.into());
        }
        let Some(remembered) = &self.remembered else {
            return self.read_anew(token).map(Arc::new);
        };
        let digest = digest_of(token);
        if let Some(read) = remembered.get(&digest) {
            if self.jwks.keys().find(&read.kid).is_some() {
                return Ok(read);
            }
            remembered.remove(&digest);
        }
        let read = Arc::new(self.read_anew(token)?);
        remembered.insert(digest, Arc::clone(&read));
        Ok(read)
    }

    fn read_anew(&self, token: &str) -> Result<Read, Unread> {
        let token = Compact::parse(token).ok_or(Refused::Invalid)?;
        // Refresh tokens are signed by a key that nobody else has: all that can be said of one is
        // what it says of itself, and it is refused either way.
        if token.typ == "rt+jwt" {
            return Err(Refused::WrongType.into());
        }
        let keys = self.jwks.keys();
        let key = keys.find(&token.kid).ok_or(Unread::UnknownKey)?;
        let is_ours = token.algorithm == key.algorithm
            && token.typ == "at+jwt"
            && key.verifies(token.signed.as_bytes(), &token.signature);
        if !is_ours {
            return Err(Refused::Invalid.into());
        }
        Ok(Read {
            claims: self.claims(&token).ok_or(Refused::Invalid)?,
            key: key.tag,
            kid: token.kid,
            vouched_until: AtomicU64::new(0),
        })
    }

    fn claims(&self, token: &Compact<'_>) -> Option<Claims> {
        let Rules { issuer, audiences } = &self.rules;
        Claims::read(&token.claims()?, issuer, audiences)
    }

    /// A token with a key that was not known, after the keys were loaded anew. `None`: the key is
    /// unknown still, and may be one that cannot be had at the moment.
    async fn read_with_new_keys(&self, token: &str) -> Result<Option<Arc<Read>>, Refused> {
        if !self.jwks.reload_for_token().await {
            return Err(Refused::Unknowable);
        }
        match self.read(token) {
            Ok(read) => Ok(Some(read)),
            Err(Unread::Refused(refused)) => Err(refused),
            Err(Unread::UnknownKey) if self.jwks.is_fresh() => Err(Refused::Invalid),
            Err(Unread::UnknownKey) => Ok(None),
        }
    }

    /// Time, then revocation; the set first and whether to believe it last. What is revoked stays
    /// so, whether or not anything is heard.
    fn judge(&self, read: &Read) -> Result<(), Refused> {
        let watcher = &self.watcher;
        let over = watcher.set.hits(&read.claims, read.key);
        let trusted = watcher.trust.holds();
        read.claims.in_time(now())?;
        match (over, trusted) {
            (true, _) => Err(Refused::Revoked),
            (false, true) => Ok(()),
            (false, false) => Err(Refused::Unknowable),
        }
    }

    /// Has the service vouch for a good token, which is believed for as long as a beat is.
    async fn vouched(&self, read: &Read, token: &str) -> Result<(), Refused> {
        let asked = monotonic();
        if read.vouched_until.load(Ordering::Acquire) > milliseconds(asked) {
            return Ok(());
        }
        self.ask(token, &read.claims).await?;
        let until = milliseconds(asked + BOUND);
        read.vouched_until.fetch_max(until, Ordering::Release);
        // It may have been told meanwhile.
        if self.watcher.set.hits(&read.claims, read.key) {
            return Err(Refused::Revoked);
        }
        Ok(())
    }

    /// Has the service vouch for a token whose key cannot be had.
    async fn vouched_unread(&self, token: &str) -> Result<Claims, Refused> {
        if self.when_silent == WhenSilent::Refuse {
            return Err(Refused::Unknowable);
        }
        let compact = Compact::parse(token).ok_or(Refused::Invalid)?;
        // They are believed only if the service says that the token is good.
        let claims = self.claims(&compact).ok_or(Refused::Invalid)?;
        claims.in_time(now())?;
        self.ask(token, &claims).await?;
        Ok(claims)
    }

    async fn ask(&self, token: &str, claims: &Claims) -> Result<(), Refused> {
        let answer = self.questions.ask(token).await;
        let answered = answer != Err(Refused::Unknowable);
        self.watcher.metrics.question(answered);
        let Vouched { user, session } = answer?;
        if (user, session) == (claims.user_id, claims.session_id) {
            Ok(())
        } else {
            Err(Refused::Unknowable)
        }
    }
}

fn digest_of(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests;
