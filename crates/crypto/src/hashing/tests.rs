//! The pool as its callers see it. Where a thread must be busy, it is held by a channel.

use std::{
    future::Future,
    pin::pin,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
};

use sso_core::{
    Network,
    ports::Queue,
    values::{Email, PasswordPolicy},
};

use super::*;
use crate::SystemRandom;

const DAY: Duration = Duration::from_hours(24);

fn login_from(network: u8) -> Work {
    Work {
        queue: Queue::Login,
        network: Network::of(Some([192, 0, network, 1].into())),
    }
}

fn login() -> Work {
    login_from(0)
}

fn password(text: &str) -> Password {
    Password::parse("password", text).unwrap()
}

fn new_password(text: &str) -> NewPassword {
    let email = Email::parse("alice@example.com").unwrap();
    let policy = PasswordPolicy {
        min_length: 1,
        refuse_common: false,
    };
    NewPassword::check("password", password(text), &email, policy).unwrap()
}

/// One thread, room for two, no deadline to speak of, and hashes that cost next to nothing.
fn small() -> HashPoolSettings {
    HashPoolSettings {
        threads: NonZeroU32::MIN,
        queue_per_thread: NonZeroU32::MIN.saturating_add(1),
        deadline: DAY,
        idle: DAY,
        argon2: Argon2Params {
            memory_kib: 64,
            iterations: 1,
            lanes: 1,
        },
    }
}

fn start(settings: HashPoolSettings) -> HashPool {
    HashPool::start(settings, Arc::new(SystemRandom)).unwrap()
}

/// Starts a future without waiting for it.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A computation that holds its thread until the sender is dropped; the receiver tells when it
/// runs.
fn hold() -> (
    impl FnOnce(&mut Memory) -> Result<(), HashError> + Send + 'static,
    mpsc::Receiver<()>,
    mpsc::Sender<()>,
) {
    let (runs, is_running) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let compute = move |_: &mut Memory| {
        runs.send(()).unwrap();
        let _ = released.recv();
        Ok(())
    };
    (compute, is_running, release)
}

/// With its one thread held, runs `body`, lets go, and waits for the thread.
macro_rules! while_busy {
    ($pool:expr, $body:block) => {{
        let (compute, is_running, release) = hold();
        let mut held = pin!($pool.submit(login(), Weight::Normal, compute));
        assert!(poll_once(held.as_mut()).is_pending());
        is_running.recv().unwrap();
        let result = $body;
        drop(release);
        held.await.unwrap();
        result
    }};
}

#[tokio::test]
async fn a_new_hash_is_argon2id_in_phc_format_and_verifies() {
    let pool = start(small());
    let hash = pool
        .hash(login(), new_password("correct horse"))
        .await
        .unwrap();
    assert!(hash.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
    let verify = |text| pool.verify(login(), password(text), Some(hash.clone()));
    assert_eq!(verify("correct horse").await.unwrap().found, Match::Yes);
    assert_eq!(verify("correct horsE").await.unwrap().found, Match::No);
    assert_eq!(verify("").await.unwrap().found, Match::No);
    let again = pool
        .rehash(login(), password("correct horse"))
        .await
        .unwrap();
    assert_ne!(again, hash, "two hashes have two salts");
}

#[tokio::test]
async fn new_hashes_are_of_the_normalised_password() {
    let pool = start(small());
    let hash = pool
        .hash(login(), new_password("\u{fb01}ancée"))
        .await
        .unwrap();
    let typed_otherwise = password("fiance\u{301}e");
    let found = pool.verify(login(), typed_otherwise, Some(hash)).await;
    assert_eq!(found.unwrap().found, Match::Yes);
}

#[tokio::test]
async fn no_user_is_no_match_and_costs_a_hash() {
    let pool = start(small());
    assert_eq!(
        pool.verify(login(), password("x"), None)
            .await
            .unwrap()
            .found,
        Match::No
    );
    let cold = pool.submit(login(), Weight::Normal, |memory| Ok(memory.is_empty()));
    assert!(!cold.await.unwrap(), "the dummy used the thread's memory");
}

#[tokio::test]
async fn hashes_made_otherwise_are_right_but_outdated() {
    let pool = start(small());
    // Of the reference implementation's own tests, and of bcrypt.
    for hash in [
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ] {
        let verify = |text| pool.verify(login(), password(text), Some(PasswordHash::new(hash)));
        assert_eq!(
            verify("password").await.unwrap().found,
            Match::YesOutdated,
            "{hash}"
        );
        assert_eq!(verify("passwore").await.unwrap().found, Match::No, "{hash}");
    }
    let argon2 = Argon2Params {
        iterations: 2,
        ..small().argon2
    };
    let before = start(HashPoolSettings { argon2, ..small() });
    let hash = before.hash(login(), new_password("password")).await;
    let found = pool
        .verify(login(), password("password"), Some(hash.unwrap()))
        .await;
    assert_eq!(found.unwrap().found, Match::YesOutdated);
    let bcrypt = ::bcrypt::hash_with_salt("password", 4, [1; 16])
        .unwrap()
        .to_string();
    let verify = |text| pool.verify(login(), password(text), Some(PasswordHash::new(&bcrypt)));
    assert_eq!(verify("password").await.unwrap().found, Match::YesOutdated);
    assert_eq!(verify("Password").await.unwrap().found, Match::No);
}

#[tokio::test]
async fn a_hash_beyond_the_bounds_is_refused_before_any_work() {
    let pool = start(small());
    let argon2 = |params| {
        format!("$argon2id$v=19${params}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
    };
    let bcrypt = |prefix| format!("{prefix}DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.");
    for hash in [
        argon2("m=262145,t=1,p=1"),
        argon2("m=4294967295,t=1,p=1"),
        argon2("m=64,t=11,p=1"),
        argon2("m=64,t=1,p=5"),
        argon2("m=64,t=0,p=1"),
        argon2("m=7,t=1,p=1"),
        argon2("m=64,t=1,p=1,q=1"),
        bcrypt("$2a$03$"),
        bcrypt("$2a$15$"),
        bcrypt("$2a$31$"),
        bcrypt("$2x$06$"),
        bcrypt("$2b$06$x"),
        "$argon2id$v=20$m=64,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg".to_owned(),
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ".to_owned(),
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$".to_owned(),
        "$pbkdf2$i=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg".to_owned(),
        "password".to_owned(),
        String::new(),
        "\u{fc}\u{fc}\u{fc}".to_owned(),
        format!("$argon2id${}", "x".repeat(100_000)),
    ] {
        let refused = pool
            .verify(login(), password("x"), Some(PasswordHash::new(&hash)))
            .await;
        assert!(matches!(refused, Err(HashError::Unreadable(_))), "{hash}");
    }
    let cold = pool.submit(login(), Weight::Normal, |memory| Ok(memory.is_empty()));
    assert!(cold.await.unwrap(), "something was computed");
}

#[test]
fn parameters_out_of_bounds_start_no_pool() {
    for (memory_kib, iterations, lanes) in [
        (7, 1, 1),
        (262_145, 1, 1),
        (64, 0, 1),
        (64, 11, 1),
        (64, 1, 5),
    ] {
        let argon2 = Argon2Params {
            memory_kib,
            iterations,
            lanes,
        };
        let started = HashPool::start(
            HashPoolSettings { argon2, ..small() },
            Arc::new(SystemRandom),
        );
        assert!(
            matches!(started, Err(HashPoolError::Params(_))),
            "{argon2:?}"
        );
    }
}

#[tokio::test]
async fn who_finds_the_queue_full_is_refused_at_once() {
    let pool = start(small());
    while_busy!(pool, {
        let mut first = pin!(pool.verify(login(), password("x"), None));
        let mut second = pin!(pool.verify(login(), password("x"), None));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        let mut third = pin!(pool.verify(login(), password("x"), None));
        match poll_once(third.as_mut()) {
            Poll::Ready(Err(HashError::Overloaded { queue, retry_after })) => {
                assert_eq!(queue, Queue::Login);
                assert_eq!(retry_after, Duration::from_secs(1));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[tokio::test]
async fn a_network_with_less_displaces_the_newest_of_the_one_with_most() {
    let pool = start(small());
    while_busy!(pool, {
        let mut first = pin!(pool.verify(login_from(1), password("x"), None));
        let mut second = pin!(pool.verify(login_from(1), password("x"), None));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        let mut newcomer = pin!(pool.verify(login_from(2), password("x"), None));
        assert!(poll_once(newcomer.as_mut()).is_pending());
        let displaced = poll_once(second.as_mut());
        assert!(matches!(
            displaced,
            Poll::Ready(Err(HashError::Overloaded { .. }))
        ));
        assert!(poll_once(first.as_mut()).is_pending());
    });
}

/// Before anything was measured a hash is taken to last 50 ms.
#[tokio::test]
async fn who_would_wait_too_long_is_refused_at_once_although_there_is_room() {
    let pool = start(HashPoolSettings {
        queue_per_thread: NonZeroU32::MIN.saturating_add(63),
        deadline: Duration::from_millis(60),
        ..small()
    });
    while_busy!(pool, {
        let mut first = pin!(pool.verify(login_from(1), password("x"), None));
        let mut second = pin!(pool.verify(login_from(1), password("x"), None));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        let mut third = pin!(pool.verify(login_from(1), password("x"), None));
        assert!(matches!(
            poll_once(third.as_mut()),
            Poll::Ready(Err(HashError::Overloaded { .. }))
        ));
        // The turn of another network comes sooner.
        let mut other = pin!(pool.verify(login_from(2), password("x"), None));
        assert!(poll_once(other.as_mut()).is_pending());
    });
}

#[tokio::test]
async fn who_waits_too_long_is_refused_and_leaves_the_queue() {
    let deadline = Duration::from_millis(20);
    let pool = start(HashPoolSettings {
        deadline,
        ..small()
    });
    let ran = Arc::new(AtomicBool::new(false));
    while_busy!(pool, {
        let ran = Arc::clone(&ran);
        let late = pool.submit(login(), Weight::Normal, move |_| {
            ran.store(true, Ordering::SeqCst);
            Ok(())
        });
        assert!(matches!(late.await, Err(HashError::Overloaded { .. })));
        // The one that is held has waited longer than the deadline too, but for its own hash.
    });
    pool.submit(login(), Weight::Normal, |_| Ok(()))
        .await
        .unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn who_goes_away_costs_no_hash_and_leaves_his_place() {
    let pool = start(small());
    let ran = Arc::new(AtomicBool::new(false));
    while_busy!(pool, {
        for _ in 0..10 {
            let ran = Arc::clone(&ran);
            let mut gone = Box::pin(pool.submit(login(), Weight::Normal, move |_| {
                ran.store(true, Ordering::SeqCst);
                Ok(())
            }));
            assert!(poll_once(gone.as_mut()).is_pending(), "there is room again");
        }
    });
    pool.submit(login(), Weight::Normal, |_| Ok(()))
        .await
        .unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_panic_fails_its_own_caller_and_nobody_else() {
    let pool = start(small());
    let burst = |_: &mut Memory| -> Result<(), HashError> { panic!("planted") };
    for weight in [Weight::Normal, Weight::Heavy, Weight::Heavy] {
        let failed = pool.submit(login(), weight, burst).await;
        assert!(matches!(failed, Err(HashError::Unreadable(_))));
    }
    assert_eq!(
        pool.verify(login(), password("x"), None)
            .await
            .unwrap()
            .found,
        Match::No
    );
}

#[tokio::test]
async fn a_stopped_pool_refuses_what_waits_and_what_comes_and_ends_what_runs() {
    let pool = start(small());
    let mut waiting = pin!(pool.verify(login(), password("x"), None));
    while_busy!(pool, {
        assert!(poll_once(waiting.as_mut()).is_pending());
        pool.stop();
    });
    assert!(matches!(waiting.await, Err(HashError::Stopped)));
    let late = pool.verify(login(), password("x"), None).await;
    assert!(matches!(late, Err(HashError::Stopped)));
}

#[tokio::test]
async fn dropping_the_pool_waits_for_its_threads() {
    let pool = start(HashPoolSettings {
        threads: NonZeroU32::MIN.saturating_add(3),
        ..small()
    });
    let shared = Arc::downgrade(&pool.shared);
    assert_eq!(
        pool.verify(login(), password("x"), None)
            .await
            .unwrap()
            .found,
        Match::No
    );
    drop(pool);
    assert_eq!(shared.strong_count(), 0);
}

#[tokio::test]
async fn threads_have_names_and_keep_their_memory_until_they_are_idle() {
    let pool = start(small());
    pool.verify(login(), password("x"), None).await.unwrap();
    let look = |memory: &mut Memory| {
        Ok((
            thread::current().name().map(str::to_owned),
            memory.is_empty(),
        ))
    };
    let (name, is_cold) = pool.submit(login(), Weight::Normal, look).await.unwrap();
    assert_eq!(name.as_deref(), Some("sso-hash-0"));
    assert!(!is_cold, "a busy thread keeps its memory");

    let idle = Duration::ZERO;
    let pool = start(HashPoolSettings { idle, ..small() });
    let cools_down = async {
        loop {
            pool.verify(login(), password("x"), None).await.unwrap();
            let look = |memory: &mut Memory| Ok(memory.is_empty());
            if pool.submit(login(), Weight::Normal, look).await.unwrap() {
                break;
            }
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, cools_down)
        .await
        .expect("an idle thread gives its memory back");
}

#[tokio::test]
async fn a_heavy_hash_leaves_no_memory_behind() {
    let pool = start(small());
    let hash =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let found = pool
        .verify(login(), password("password"), Some(PasswordHash::new(hash)))
        .await;
    assert_eq!(found.unwrap().found, Match::YesOutdated);
    let look = |memory: &mut Memory| Ok((memory.is_empty(), memory.is_settled()));
    let (is_empty, is_settled) = pool.submit(login(), Weight::Normal, look).await.unwrap();
    assert!(is_empty);
    assert!(!is_settled, "the allocator is yet to give it to the kernel");
}
