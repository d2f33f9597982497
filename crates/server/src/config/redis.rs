//! Values and rules of `redis`.

use std::{fmt, str::FromStr};

use sso_config::Rules;
use url::Url;
use zeroize::Zeroizing;

use super::{
    remote::{Broker, is_local},
    section::Redis,
    values::{Misshapen, Shape},
};

/// A rule that is broken: the key, others that have a part in it, and what is wrong.
type Broken = (&'static str, &'static [&'static str], &'static str);

/// The port of Redis.
const PORT: u16 = 6379;
/// Longest URL in bytes.
const MAX_URL: usize = 2048;

/// One Redis server. It prints without a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
    database: u16,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
}

impl RedisUrl {
    pub(crate) fn by_tls(&self) -> bool {
        self.tls
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn database(&self) -> u16 {
        self.database
    }

    pub(crate) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref().map(String::as_str)
    }

    fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

impl Shape for RedisUrl {
    const SHAPE: &str = "a URL of Redis such as redis://redis.example.com:6379 or \
                         rediss://sso@redis.example.com:6379/0";
}

impl FromStr for RedisUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        if text.len() > MAX_URL || text.contains(['?', '#', '\\', ' ']) {
            return Err(Misshapen);
        }
        let url = Url::parse(text).map_err(|_| Misshapen)?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(Misshapen),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(Misshapen)?.trim_matches(['[', ']']);
        let database = match url.path() {
            "" | "/" => 0,
            path => path[1..].parse().map_err(|_| Misshapen)?,
        };
        let known = |text: &str| (!text.is_empty()).then(|| decoded(text)).transpose();
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: url.port().unwrap_or(PORT),
            database,
            username: known(url.username())?,
            password: known(url.password().unwrap_or_default())?.map(Zeroizing::new),
        })
    }
}

/// Percent-decoded (RFC 3986, section 2.1).
fn decoded(text: &str) -> Result<String, Misshapen> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            let byte = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(byte.ok_or(Misshapen)?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| Misshapen)
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let user = self.username.as_ref().map(|name| format!("{name}@"));
        let user = user.unwrap_or_default();
        if self.host.contains(':') {
            write!(f, "{scheme}://{user}[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{scheme}://{user}{}:{}", self.host, self.port)?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// Where a sentinel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentinelAddress(Broker);

impl SentinelAddress {
    /// The host without brackets, and the port.
    pub(crate) fn parts(&self) -> (&str, u16) {
        let (host, port) = self.0.as_str().rsplit_once(':').unwrap_or_default();
        (host.trim_matches(['[', ']']), port.parse().unwrap_or(0))
    }
}

impl Shape for SentinelAddress {
    const SHAPE: &str = "a host and a port, such as sentinel1.example.com:26379 or [::1]:26379";
}

impl FromStr for SentinelAddress {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SentinelAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

sso_config::by_text!(RedisUrl, SentinelAddress);

/// What keys begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPrefix(String);

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("sso".to_owned())
    }
}

impl Shape for KeyPrefix {
    const SHAPE: &str = "1 to 64 of the characters a-z A-Z 0-9 . _ : -";
}

impl FromStr for KeyPrefix {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether passwords and hints could be read on their way.
pub(crate) fn in_clear(redis: &Redis) -> bool {
    let far = redis.url.as_ref().is_some_and(|url| !url.is_local())
        || redis
            .sentinels
            .iter()
            .any(|sentinel| !sentinel.0.is_local());
    far && !redis.by_tls()
}

/// Says which rules of Redis are broken.
pub(super) fn validate(redis: &Redis, rules: &mut Rules<'_>) {
    rules.together(
        ("redis.tls_cert", redis.tls_cert.is_some()),
        ("redis.tls_key", redis.tls_key.is_some()),
    );
    let named = |url: &RedisUrl| url.username.is_some() || url.password.is_some();
    let told = redis.username.is_some() || redis.password.is_some();
    let sentinels = !redis.sentinels.is_empty();
    let for_tls = redis.tls_ca.is_some() || redis.tls_cert.is_some();
    let all: [(bool, Broken); 6] = [
        (
            redis.url.is_none() || !sentinels,
            (
                "redis.sentinels",
                &["redis.url"],
                "is set beside redis.url: one of them must go",
            ),
        ),
        (
            !sentinels || redis.master_name.is_some(),
            (
                "redis.sentinels",
                &["redis.master_name"],
                "needs redis.master_name beside it: the name that they know the master by",
            ),
        ),
        (
            redis.username.is_none() || redis.password.is_some(),
            (
                "redis.username",
                &["redis.password", "redis.password_file"],
                "needs redis.password beside it",
            ),
        ),
        (
            !told || !redis.url.as_ref().is_some_and(named),
            (
                "redis.url",
                &["redis.username", "redis.password"],
                "holds a user or a password, and redis.username or redis.password too: one of them \
                 must go",
            ),
        ),
        (
            redis.is_used() || (!told && redis.master_name.is_none() && !redis.tls),
            (
                "redis.url",
                &["redis.sentinels"],
                "must be set, or redis.sentinels: other keys of redis are, and nothing uses them",
            ),
        ),
        (
            !for_tls || redis.by_tls(),
            (
                "redis.tls",
                &["redis.tls_ca", "redis.tls_cert", "redis.url"],
                "must be true: redis.tls_ca and redis.tls_cert are for TLS",
            ),
        ),
    ];
    for (_, (key, others, text)) in all.into_iter().filter(|(holds, _)| !holds) {
        rules.broken(key, others, text);
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::{
        super::{Sources, load},
        *,
    };

    fn problems(settings: &[(&str, &str)]) -> String {
        let mut sources = Sources::default();
        for (key, value) in settings {
            let name = format!("SSO__REDIS__{key}");
            sources.env.push((name.into(), value.into()));
        }
        load(sources).map_or_else(|problems| problems.to_string(), |_| "none".to_owned())
    }

    #[test]
    fn a_url_says_who_and_where_and_prints_no_password() {
        let url: RedisUrl = "rediss://me:top%2Fsecret@[::1]:7000/3".parse().unwrap();
        assert_eq!(url.password(), Some("top/secret"));
        assert_eq!((url.host(), url.port(), url.database()), ("::1", 7000, 3));
        assert_eq!(format!("{url}"), "rediss://me@[::1]:7000/3");
        assert!(!format!("{url:?}").contains("secret"));
        let short: RedisUrl = "redis://:pw@a".parse().unwrap();
        assert_eq!((short.username(), short.port()), (None, PORT));
        for bad in [
            "redis:",
            "http://a",
            "redis://a/b",
            "redis://a?x",
            "redis://",
        ] {
            assert!(bad.parse::<RedisUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_redis_or_sentinels_with_a_name_are_enough() {
        assert_eq!(problems(&[("URL", "redis://a")]), "none");
        let sentinels = [("SENTINELS", "a:1, [::1]:2"), ("MASTER_NAME", "sso")];
        assert_eq!(problems(&sentinels), "none");
    }

    #[test]
    fn what_is_half_said_is_told_and_no_secret_with_it() {
        let half = [
            ("URL", "redis://:hidden@a"),
            ("SENTINELS", "a:1"),
            ("PASSWORD", "hidden"),
            ("TLS_CA", "ca.pem"),
        ];
        assert_snapshot!(problems(&half), @r"
        redis.sentinels (SSO__REDIS__SENTINELS): is set beside redis.url: one of them must go
        redis.url (SSO__REDIS__URL): holds a user or a password, and redis.username or redis.password too: one of them must go
        ");
        assert_snapshot!(problems(&[("PASSWORD", "hidden"), ("KEY_PREFIX", "a b")]), @r"
        redis.key_prefix (SSO__REDIS__KEY_PREFIX): must be 1 to 64 of the characters a-z A-Z 0-9 . _ : -
        redis.url (default): must be set, or redis.sentinels: other keys of redis are, and nothing uses them
        ");
        let by_half = [("URL", "rediss://a"), ("TLS_KEY", "key.pem")];
        assert_snapshot!(problems(&by_half), @"redis.tls_key (SSO__REDIS__TLS_KEY): needs redis.tls_cert beside it");
        let wrong = [("URL", "redis://hidden@a:b"), ("SENTINELS", "a")];
        assert_snapshot!(problems(&wrong), @r"
        redis.sentinels (SSO__REDIS__SENTINELS): must be a host and a port, such as sentinel1.example.com:26379 or [::1]:26379
        redis.url (SSO__REDIS__URL): must be a URL of Redis such as redis://redis.example.com:6379 or rediss://sso@redis.example.com:6379/0
        ");
    }
}
