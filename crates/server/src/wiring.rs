//! The adapters behind the ports, from the configuration: the only place that names them all.

mod clock;
mod copying;
mod events;
mod examine;
mod keys;
pub(crate) mod master_key;
mod nudges;
mod redis;
mod store;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sso_config::output::note;
use sso_core::{
    Agent, Caller, Failure, KeyPolicy, Policy, Scopes, Service, Sso,
    audit::Repeated,
    ports::{Announcements, Clock, Shards, StoreError, Throttle, Unthrottled},
    revocation::{LeaseTerms, Revocations, bound},
    throttle::{LocalThrottle, ThrottleSettings},
    values::PasswordPolicy,
};
use sso_crypto::{
    Argon2Params, HashPool, HashPoolSettings, KnownCaller, KnownCallers, SystemRandom, account_keys,
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use clock::CommonClock;
pub(crate) use copying::{Ends, MasterKeys};
pub(crate) use events::{Outlet, examine_kafka, outlet};
pub(crate) use examine::{Examined, NotOpened, examine, master_key_file};
pub(crate) use nudges::{LANES, Nudges};
pub(crate) use redis::{Helpers, examine_redis};
pub(crate) use sso_redis::Status as RedisStatus;
pub(crate) use store::{
    MigrationStatus, Role, exit_of, migrate, migration_status, of_sqlite, register_metrics, survey,
};

use crate::{
    config::{Config, Loaded, section},
    exit::{Exit, Failed},
    system::RuntimeTasks,
};

pub(crate) use keys::Keys;

/// What a process of ours consists of.
pub(crate) struct Parts {
    /// For the use cases.
    pub(crate) sso: Sso,
    /// The signing keys.
    pub(crate) keys: Arc<Keys>,
    /// The hashing pool, to be stopped.
    pub(crate) hashes: Arc<HashPool>,
    /// Which events this process delivers.
    pub(crate) shards: Arc<dyn Shards>,
    /// What wakes the relay when an event was stored here.
    pub(crate) nudges: Nudges,
    /// Asks for a beat before its time.
    pub(crate) early_beat: Arc<Notify>,
    /// Redis, if a server has one.
    pub(crate) helpers: Option<Helpers>,
    /// Work after the answer, to be waited for.
    pub(crate) tasks: TaskTracker,
    /// The servers of PostgreSQL; None: embedded.
    pub(crate) servers: Option<sso_store_postgres::servers::Servers>,
}

/// Opens the store and what stands on it.
pub(crate) async fn open(config: &Config, role: Role, ack_wait: Duration) -> Result<Parts, Failed> {
    let (opened, clock) = open_store(config, role).await?;
    let store::Opened {
        store,
        servers,
        shards,
    } = opened;
    let keys = Arc::new(keys::open(config, role, store.as_ref(), clock.clone()).await?);
    let hashes = Arc::new(start_hashing(config)?);
    let terms = LeaseTerms {
        lease: config.revocation.lease,
        ack_wait,
    };
    let tasks = TaskTracker::new();
    let nudges = Nudges::new();
    let stored = nudges.clone();
    let early_beat = Arc::new(Notify::new());
    let hasten = Arc::clone(&early_beat);
    let mut helpers = match role {
        Role::Server => redis::helpers(config, &keys.workshop.master())?,
        Role::Command => None,
    };
    let mut revocations =
        Revocations::new(store.clone(), Arc::clone(&clock), terms).telling(keys.tokens.clone());
    if role == Role::Server {
        revocations = revocations.hastening(Arc::new(move || hasten.notify_one()));
    }
    if let Some(announcements) = announcements(config, &keys, helpers.as_ref(), &tasks) {
        revocations = revocations.announcing(announcements);
    }
    let throttle = throttle(config, &keys, helpers.as_mut(), &clock);
    let sso = Sso {
        revocations: Arc::new(revocations),
        store,
        throttle,
        hasher: Arc::clone(&hashes) as _,
        tokens: keys.tokens.clone(),
        keys: keys.workshop.clone(),
        cursors: keys.cursors.clone(),
        clock,
        random: Arc::new(SystemRandom),
        tasks: Arc::new(RuntimeTasks::new(tasks.clone())),
        nudge: Arc::new(move |user| stored.stored(user)),
        repeated: Arc::new(Repeated::new(config.audit.refused_per_hour)),
        policy: Arc::new(policy(config)),
    };
    Ok(Parts {
        sso,
        keys,
        hashes,
        shards,
        nudges,
        early_beat,
        helpers,
        tasks,
        servers,
    })
}

/// Opens the store, and the clock that follows its servers.
async fn open_store(
    config: &Config,
    role: Role,
) -> Result<(store::Opened, Arc<dyn Clock>), Failed> {
    let common = Arc::new(CommonClock::default());
    let clock: Arc<dyn Clock> = common.clone();
    let opened = store::open(config, role, config.database.migrate, &clock).await?;
    if let Some(servers) = &opened.servers {
        common.follow(servers.clone());
    }
    Ok((opened, clock))
}

/// What tells others of a revocation at once: a server's stream, or what a command has in its stead.
/// `None` if there is no Redis.
fn announcements(
    config: &Config,
    keys: &Keys,
    helpers: Option<&Helpers>,
    tasks: &TaskTracker,
) -> Option<Arc<dyn Announcements>> {
    match helpers {
        Some(helpers) => Some(helpers.stream.clone()),
        None => redis::messenger(config, &keys.workshop.master(), tasks),
    }
}

/// How long a command waits for the servers to obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until the last lease that can have missed it is over.
    Everywhere,
}

/// Runs one use case from the command line, on the operator's authority.
pub(crate) fn command<T>(
    loaded: &Loaded,
    wait: Wait,
    run: impl AsyncFnOnce(&Sso, &Caller) -> Result<T, Failure>,
) -> Result<T, Failed> {
    command_with(loaded, wait, async |parts, operator| {
        run(&parts.sso, operator).await.map_err(of_failure)
    })
}

/// As [`command`], for what needs more than the use cases.
pub(crate) fn command_with<T>(
    loaded: &Loaded,
    wait: Wait,
    run: impl AsyncFnOnce(&Parts, &Caller) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let config = &loaded.config;
    let absent = absent_database(config);
    let ack_wait = match wait {
        Wait::No => Duration::ZERO,
        // After a failover the fence as well; and what it takes to look.
        Wait::Everywhere => {
            bound(config.revocation.lease) + config.revocation.fence + Duration::from_secs(2)
        }
    };
    block_on(async {
        let parts = open(config, Role::Command, ack_wait).await?;
        if let Some(file) = absent {
            tell_of_new_database(&file);
        }
        let done = run(&parts, &operator()).await;
        parts.tasks.close();
        parts.tasks.wait().await;
        done
    })
}

/// The file of the embedded database, if it is still to be made.
fn absent_database(config: &Config) -> Option<PathBuf> {
    let file = config.data_dir.join(sso_store_sqlite::DATABASE);
    (config.database.url.is_embedded() && !file.exists()).then_some(file)
}

/// An empty database that was made here is seldom the one that was meant: the service's is named by
/// its configuration.
fn tell_of_new_database(file: &Path) {
    note(format_args!(
        "{} was not there: an empty database is made. Is another one meant? Its configuration is \
         named by --config or SSO_CONFIG.",
        file.display()
    ));
}

/// Runs what a command does.
pub(crate) fn block_on<T>(done: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    runtime.block_on(done)
}

/// Whoever has this machine's command line; the audit log tells as which of its users.
fn operator() -> Caller {
    let user = rustix::process::getuid().as_raw();
    let mut operator = Caller::operator();
    operator.origin.agent = Some(Agent::new(&format!("command line, uid {user}")));
    operator
}

/// The services that the operator has written down.
pub(crate) fn callers(callers: &section::Callers) -> KnownCallers {
    let known = callers.iter().map(|caller| KnownCaller {
        token_sha256: caller.token_sha256.as_ref().map(|digest| *digest.bytes()),
        certificate: caller
            .certificate
            .as_ref()
            .map(|name| name.as_str().to_owned()),
        service: Service {
            name: caller.name.as_str().into(),
            scopes: caller
                .scopes
                .iter()
                .map(|scope| scope.0)
                .collect::<Scopes>(),
        },
    });
    KnownCallers::new(known.collect())
}

fn start_hashing(config: &Config) -> Result<HashPool, Failed> {
    let mut settings = HashPoolSettings {
        deadline: config.hashing.queue_deadline,
        argon2: Argon2Params {
            memory_kib: config.passwords.argon2_memory,
            iterations: config.passwords.argon2_iterations,
            ..Argon2Params::default()
        },
        ..HashPoolSettings::default()
    };
    let number = |count: usize| u32::try_from(count).ok().and_then(NonZeroU32::new);
    settings.threads = number(config.hashing.threads).unwrap_or(settings.threads);
    settings.queue_per_thread =
        number(config.hashing.queue_per_thread).unwrap_or(settings.queue_per_thread);
    HashPool::start(settings, Arc::new(SystemRandom))
        .map_err(|error| Failed::from_error(Exit::Configuration, &error))
}

/// Slows down who guesses: by what Redis counts for all instances, or by what this one has seen.
fn throttle(
    config: &Config,
    keys: &Keys,
    helpers: Option<&mut Helpers>,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn Throttle> {
    let Some(local) = local_throttle(config, clock) else {
        return Arc::new(Unthrottled);
    };
    let Some(helpers) = helpers else {
        return Arc::new(local);
    };
    let (redis, master) = (&config.redis, keys.workshop.master());
    helpers.throttle(redis, local, &master, clock, Arc::new(SystemRandom))
}

/// `None` if nothing is throttled.
fn local_throttle(config: &Config, clock: &Arc<dyn Clock>) -> Option<LocalThrottle> {
    let limits = &config.throttle;
    if !limits.enabled {
        return None;
    }
    let settings = ThrottleSettings {
        free_attempts: limits.login_free_attempts,
        longest_delay: limits.login_longest_delay,
        account_failures: limits.account_failures,
        network_accounts: limits.network_accounts,
        registrations_per_second: limits.registrations_per_second,
        registration_burst: limits.registration_burst,
        registration_conflicts: limits.registration_conflicts,
        tracked: limits.max_tracked,
    };
    let keys = account_keys(&SystemRandom);
    Some(LocalThrottle::new(settings, Arc::clone(clock), keys))
}

fn policy(config: &Config) -> Policy {
    Policy {
        access_ttl: config.tokens.access_ttl,
        refresh_ttl: config.tokens.refresh_ttl,
        refresh_grace: config.sessions.refresh_grace,
        session_idle_ttl: config.sessions.idle_ttl.get(),
        max_sessions: config.sessions.max_per_user,
        failure_floor: config.login.failure_floor,
        passwords: PasswordPolicy {
            min_length: config.passwords.min_length,
            refuse_common: config.passwords.refuse_common,
        },
        registration_enabled: config.registration.enabled,
        keys: KeyPolicy {
            jwks_max_age: config.keys.jwks_max_age,
            rotate_every: config.keys.rotate_every.get(),
        },
    }
}

/// A use case that failed at the command line: its sentences, and for a fault of ours the cause.
pub(crate) fn of_failure(failure: Failure) -> Failed {
    let cause: Option<&StoreError> = failure.cause.as_ref().and_then(|why| why.downcast_ref());
    let exit = match failure.kind {
        sso_core::Kind::Unavailable => Exit::Unavailable,
        _ if cause.is_some_and(store::is_damage) => Exit::DataDamaged,
        _ => Exit::Failure,
    };
    let mut message = failure.message.into_owned();
    for field in failure.fields.iter().skip(1) {
        message = format!("{message}; {}", field.error);
    }
    if let Some(cause) = failure.cause {
        message = format!("{message} ({cause})");
    }
    Failed::new(exit, message)
}
