//! Throttling through the use cases, with a clock that is moved by hand.

use std::{sync::Arc, time::Duration};

use sso_core::{
    Caller, Failure, Fields, Kind, Policy,
    ports::{Attempt, Settled, Throttle, ThrottleReason, Throttled},
    throttle::{AccountKey, LocalThrottle, ThrottleSettings},
    values::Email,
};
use sso_testkit::{
    app::{App, password_of, stranger},
    clock::ManualClock,
    memory::MemoryStore,
};
use tokio::task::JoinSet;

const HOME: [u8; 4] = [192, 0, 2, 7];
const ABROAD: [u8; 4] = [198, 51, 100, 7];
const SECOND: Duration = Duration::from_secs(1);

async fn app() -> App {
    with(ThrottleSettings::default()).await
}

async fn with(limits: ThrottleSettings) -> App {
    let policy = Policy {
        failure_floor: Duration::ZERO,
        ..Policy::default()
    };
    let clock = Arc::new(ManualClock::new());
    App::with_limits(Arc::new(MemoryStore::new()), clock, policy, limits)
        .await
        .unwrap()
}

/// The code of a wrong password, and for how long one must wait.
async fn guess(app: &App, from: [u8; 4], name: &str) -> (&'static str, Option<Duration>) {
    let failure = app
        .login_from(&stranger(from), name, "not the secret")
        .await
        .unwrap_err();
    (failure.code, failure.retry_after)
}

async fn signs_in(app: &App, from: [u8; 4], name: &str) -> Result<(), Failure> {
    app.login_from(&stranger(from), name, &password_of(name))
        .await
        .map(|_| ())
}

/// What of a caller matters to the counters.
fn network_of(n: u32) -> [u8; 4] {
    let [_, _, high, low] = n.to_be_bytes();
    [100, high, low, 1]
}

#[tokio::test]
async fn five_failures_are_free_and_then_each_doubles_the_wait_up_to_a_minute() {
    let app = app().await;
    app.register("alice").await.unwrap();
    for _ in 0..5 {
        assert_eq!(guess(&app, HOME, "alice").await.0, "invalid_credentials");
    }
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = SECOND * seconds;
        assert_eq!(
            guess(&app, HOME, "alice").await,
            ("rate_limited", Some(wait))
        );
        // Asking again in between changes nothing.
        app.clock.advance(wait - SECOND);
        assert_eq!(
            guess(&app, HOME, "alice").await,
            ("rate_limited", Some(SECOND))
        );
        app.clock.advance(SECOND);
        assert_eq!(guess(&app, HOME, "alice").await.0, "invalid_credentials");
    }
}

#[tokio::test]
async fn no_hash_is_made_for_who_is_refused_even_if_he_is_right() {
    let app = app().await;
    app.register("alice").await.unwrap();
    for _ in 0..5 {
        guess(&app, HOME, "alice").await;
    }
    let refused = signs_in(&app, HOME, "alice").await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.code),
        (Kind::RateLimited, "rate_limited")
    );
    app.clock.advance(SECOND);
    signs_in(&app, HOME, "alice").await.unwrap();
}

#[tokio::test]
async fn a_success_forgets_the_failures_and_so_does_an_hour() {
    let app = app().await;
    app.register("alice").await.unwrap();
    for round in 0..2 {
        for _ in 0..5 {
            assert_eq!(guess(&app, HOME, "alice").await.0, "invalid_credentials");
        }
        assert_eq!(guess(&app, HOME, "alice").await.0, "rate_limited");
        app.clock.advance(SECOND);
        if round == 0 {
            signs_in(&app, HOME, "alice").await.unwrap();
        } else {
            app.clock.advance(Duration::from_hours(1));
        }
    }
    for _ in 0..5 {
        assert_eq!(guess(&app, HOME, "alice").await.0, "invalid_credentials");
    }
    assert_eq!(guess(&app, HOME, "alice").await.0, "rate_limited");
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_throttled_alike() {
    let app = app().await;
    app.register("alice").await.unwrap();
    for _ in 0..130 {
        let known = guess(&app, ABROAD, "alice").await;
        let unknown = guess(&app, ABROAD, "nobody").await;
        assert_eq!(known, unknown);
        app.clock.advance(Duration::from_millis(700));
    }
    for n in 0..130 {
        let known = guess(&app, network_of(n), "alice").await;
        let unknown = guess(&app, network_of(n), "nobody").await;
        assert_eq!(known, unknown, "{n}");
    }
}

#[tokio::test]
async fn other_spellings_of_an_address_are_the_same_account() {
    let app = app().await;
    for name in ["alice", "Alice", "ALICE", "aLICE", "AlicE"] {
        assert_eq!(guess(&app, HOME, name).await.0, "invalid_credentials");
    }
    assert_eq!(guess(&app, HOME, "alicE").await.0, "rate_limited");
}

#[tokio::test]
async fn fifty_wrong_passwords_at_once_are_five_attempts() {
    let app = app().await;
    app.register("alice").await.unwrap();
    let mut running = JoinSet::new();
    for _ in 0..50 {
        let app = app.clone();
        running.spawn(async move { guess(&app, HOME, "alice").await.0 });
    }
    let codes = running.join_all().await;
    let judged = codes.iter().filter(|code| **code == "invalid_credentials");
    assert_eq!(judged.count(), 5, "{codes:?}");
    let refused = codes.iter().filter(|code| **code == "rate_limited");
    assert_eq!(refused.count(), 45, "{codes:?}");
}

#[tokio::test]
async fn fifty_right_passwords_at_once_all_sign_in() {
    let app = app().await;
    app.register("alice").await.unwrap();
    let mut running = JoinSet::new();
    for _ in 0..50 {
        let app = app.clone();
        running.spawn(async move { signs_in(&app, HOME, "alice").await });
    }
    for signed_in in running.join_all().await {
        signed_in.unwrap();
    }
}

#[tokio::test]
async fn a_hundred_failures_delay_the_stranger_and_not_the_owner_where_he_is_known() {
    let app = app().await;
    app.register("alice").await.unwrap();
    signs_in(&app, HOME, "alice").await.unwrap();
    // Of many strangers, so that each has free attempts left.
    for n in 0..100 {
        let code = guess(&app, network_of(n), "alice").await.0;
        assert_eq!(code, "invalid_credentials", "{n}");
    }
    // Strangers share one attempt a minute, and who has had one is last.
    assert_eq!(
        guess(&app, network_of(200), "alice").await.0,
        "invalid_credentials"
    );
    for n in [0, 200, 201] {
        assert_eq!(guess(&app, network_of(n), "alice").await.0, "rate_limited");
    }
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(
        guess(&app, network_of(200), "alice").await.0,
        "rate_limited"
    );
    assert_eq!(
        guess(&app, network_of(201), "alice").await.0,
        "invalid_credentials"
    );
    signs_in(&app, HOME, "alice").await.unwrap();

    // That ended the row.
    for n in 300..400 {
        let code = guess(&app, network_of(n), "alice").await.0;
        assert_eq!(code, "invalid_credentials", "{n}");
    }
    assert_eq!(
        guess(&app, network_of(400), "alice").await.0,
        "invalid_credentials"
    );
    assert_eq!(
        guess(&app, network_of(401), "alice").await.0,
        "rate_limited"
    );
    // An owner who travels waits for his turn, and need not fear the strangers who had theirs.
    app.clock.advance(Duration::from_mins(1));
    for n in 300..401 {
        assert_eq!(guess(&app, network_of(n), "alice").await.0, "rate_limited");
    }
    signs_in(&app, ABROAD, "alice").await.unwrap();
}

#[tokio::test]
async fn who_is_known_is_still_slowed_by_his_own_failures() {
    let app = app().await;
    app.register("alice").await.unwrap();
    signs_in(&app, HOME, "alice").await.unwrap();
    for n in 0..100 {
        guess(&app, network_of(n), "alice").await;
    }
    for _ in 0..5 {
        assert_eq!(guess(&app, HOME, "alice").await.0, "invalid_credentials");
    }
    assert_eq!(
        guess(&app, HOME, "alice").await,
        ("rate_limited", Some(SECOND))
    );
}

#[tokio::test]
async fn a_network_that_fails_on_many_accounts_has_one_attempt_a_second() {
    let app = with(ThrottleSettings {
        network_accounts: 50,
        ..ThrottleSettings::default()
    })
    .await;
    app.register("alice").await.unwrap();
    signs_in(&app, HOME, "alice").await.unwrap();
    // Many failures on few accounts are no such thing.
    for n in 0..100 {
        guess(&app, HOME, &format!("user{}", n % 25)).await;
    }
    for n in 25..50 {
        let code = guess(&app, HOME, &format!("user{n}")).await.0;
        assert_eq!(code, "invalid_credentials", "{n}");
    }
    let code = guess(&app, HOME, "another").await.0;
    assert_eq!(code, "invalid_credentials");
    let slowed = guess(&app, HOME, "yet-another").await;
    assert_eq!(slowed, ("rate_limited", Some(SECOND)));
    // Neither another network nor who has signed in from this one.
    let code = guess(&app, ABROAD, "another").await.0;
    assert_eq!(code, "invalid_credentials");
    signs_in(&app, HOME, "alice").await.unwrap();
    app.clock.advance(SECOND);
    let code = guess(&app, HOME, "yet-another").await.0;
    assert_eq!(code, "invalid_credentials");
    // Ten minutes later it is as any.
    app.clock.advance(Duration::from_mins(11));
    for n in 100..150 {
        let code = guess(&app, HOME, &format!("user{n}")).await.0;
        assert_eq!(code, "invalid_credentials", "{n}");
    }
}

#[tokio::test]
async fn guesses_of_the_current_password_count_as_failed_logins() {
    let app = app().await;
    let alice = app.register("alice").await.unwrap();
    for _ in 0..5 {
        let failure = app
            .change_password(&alice.access_token, "not the secret", "a new secret")
            .await
            .unwrap_err();
        assert_eq!(failure.code, "invalid_credentials");
    }
    let right = password_of("alice");
    let change = app.change_password(&alice.access_token, &right, "a new secret");
    assert_eq!(change.await.unwrap_err().code, "rate_limited");
    assert_eq!(
        app.login("alice", &right).await.unwrap_err().code,
        "rate_limited"
    );
    app.clock.advance(SECOND);
    app.change_password(&alice.access_token, &right, "a new secret")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_network_learns_only_so_often_who_has_an_account() {
    let app = with(ThrottleSettings {
        registration_conflicts: 3,
        ..ThrottleSettings::default()
    })
    .await;
    app.register("alice").await.unwrap();
    for _ in 0..3 {
        assert_eq!(app.register("alice").await.unwrap_err().code, "user_exists");
    }
    let refused = app.register("bob").await.unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after),
        ("rate_limited", Some(SECOND * 6))
    );
    app.clock.advance(SECOND * 6);
    app.register("bob").await.unwrap();
}

#[tokio::test]
async fn registrations_of_a_network_have_a_burst_and_a_rate_and_the_operator_has_none() {
    let app = with(ThrottleSettings {
        registration_burst: 3,
        registrations_per_second: 1,
        ..ThrottleSettings::default()
    })
    .await;
    for n in 0..3 {
        app.register(&format!("user{n}")).await.unwrap();
    }
    let refused = app.register("one-more").await.unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after),
        ("rate_limited", Some(SECOND))
    );
    let input = sso_core::usecases::register::Input {
        email: Some("added@example.com"),
        password: Some("the secret of added"),
        ..Default::default()
    };
    let request =
        sso_core::usecases::register::Register::parse(&app.sso, &input, Fields::default()).unwrap();
    sso_core::usecases::register::create(&app.sso, &Caller::operator(), request, false)
        .await
        .unwrap();
    app.clock.advance(SECOND);
    app.register("one-more").await.unwrap();
}

/// A throttle of its own.
fn throttle(limits: ThrottleSettings) -> (Arc<ManualClock>, Arc<LocalThrottle>) {
    let clock = Arc::new(ManualClock::new());
    let keys = Arc::new(|email: &Email| {
        let hash = email.canonical().bytes().fold(7_u128, |hash, byte| {
            hash.wrapping_mul(1_000_003) ^ u128::from(byte)
        });
        AccountKey(hash)
    });
    let throttle = LocalThrottle::new(limits, clock.clone(), keys);
    (clock, Arc::new(throttle))
}

fn attempt(email: &Email) -> Attempt<'_> {
    Attempt {
        email,
        network: stranger(HOME).origin.network(),
        known: false,
    }
}

async fn fail(throttle: &LocalThrottle, name: &str) -> Result<(), Throttled> {
    let email = Email::parse(name).unwrap();
    throttle
        .admit(attempt(&email))
        .await?
        .settle(Settled::Failed);
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_has_failed() {
    let (_, throttle) = throttle(ThrottleSettings::default());
    let email = Email::parse("alice@example.com").unwrap();
    for _ in 0..5 {
        drop(throttle.admit(attempt(&email)).await.unwrap());
    }
    let refused = throttle.admit(attempt(&email)).await.err().unwrap();
    assert_eq!(refused.reason, ThrottleReason::AccountNetwork);
}

#[tokio::test]
async fn what_was_not_judged_does_not_count() {
    let (_, throttle) = throttle(ThrottleSettings::default());
    let email = Email::parse("alice@example.com").unwrap();
    for _ in 0..200 {
        let permit = throttle.admit(attempt(&email)).await.unwrap();
        permit.settle(Settled::Unjudged);
    }
}

#[tokio::test]
async fn no_more_wait_for_those_under_way_than_the_bound() {
    let (_, throttle) = throttle(ThrottleSettings::default());
    let email = Email::parse("alice@example.com").unwrap();
    let mut permits = Vec::new();
    for _ in 0..5 {
        permits.push(throttle.admit(attempt(&email)).await.unwrap());
    }
    let mut running = JoinSet::new();
    for _ in 0..200 {
        let (throttle, email) = (Arc::clone(&throttle), email.clone());
        running.spawn(async move {
            let permit = throttle.admit(attempt(&email)).await?;
            permit.settle(Settled::Succeeded);
            Ok::<_, Throttled>(())
        });
    }
    let mut refused = 0;
    while refused < 200 - 64 {
        let done = running.join_next().await.unwrap().unwrap();
        assert_eq!(done.unwrap_err().retry_after, SECOND);
        refused += 1;
    }
    permits.pop().unwrap().settle(Settled::Succeeded);
    for done in running.join_all().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_flood_of_other_accounts_does_not_make_a_long_row_forgotten() {
    let (clock, throttle) = throttle(ThrottleSettings {
        tracked: 1000,
        network_accounts: u32::MAX,
        ..ThrottleSettings::default()
    });
    for _ in 0..9 {
        while let Err(throttled) = fail(&throttle, "alice@example.com").await {
            clock.advance(throttled.retry_after);
        }
    }
    for n in 0..20_000 {
        fail(&throttle, &format!("user{n}@example.com"))
            .await
            .unwrap();
    }
    let refused = fail(&throttle, "alice@example.com").await.unwrap_err();
    assert_eq!(refused.retry_after, SECOND * 16);
}
