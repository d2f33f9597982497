//! How many requests one address makes to one route.
//!
//! A token bucket for each pair, as a generic cell rate algorithm (ITU-T I.371): all there is of a
//! bucket is the time at which it will be full again. The buckets lie in a fixed table without locks
//! (a count-min sketch): two addresses of the same cell share it, so each pair has two cells by
//! different keyed hashes and is refused only if both are empty. No address can make the table
//! larger, and none can be forgotten.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use crate::{Client, RequestId};

/// Cells of each of the two tables: 1 MiB together.
const CELLS: usize = 16_384;

/// Time since any start; never goes back.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The answer to one request too many, from how long to wait.
pub type TooMany = fn(Duration, &RequestId) -> Response;

/// The buckets of all addresses and routes.
pub struct Rates {
    /// Nanoseconds between two requests.
    interval: u64,
    /// Nanoseconds of requests that may come at once, but for the last.
    burst: u64,
    now: Monotonic,
    hashers: [RandomState; 2],
    full_at: [Box<[AtomicU64]>; 2],
    /// Is told of each refusal.
    told: Option<Told>,
}

/// Is told of an address that made one request too many. It must not wait.
pub type Told = Arc<dyn Fn(IpAddr) + Send + Sync>;

impl Rates {
    /// Each address may make `per_second` requests to each route, as many at once.
    pub fn new(per_second: u32, now: Monotonic) -> Self {
        let interval = 1_000_000_000 / u64::from(per_second.max(1));
        let table = || (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Self {
            interval,
            burst: interval * u64::from(per_second.saturating_sub(1)),
            now,
            hashers: [RandomState::new(), RandomState::new()],
            full_at: [table(), table()],
            told: None,
        }
    }

    /// Tells `told` of each refusal.
    #[must_use]
    pub fn telling(self, told: Told) -> Self {
        Self {
            told: Some(told),
            ..self
        }
    }

    /// Takes a token, or says how long there will be none.
    pub fn admit(&self, address: IpAddr, route: &str) -> Result<(), Duration> {
        let key = (subscriber(address), route);
        let now = u64::try_from((self.now)().as_nanos()).unwrap_or(u64::MAX);
        let cells = [0, 1].map(|table| self.cell(table, &key));
        let full_at = cells.map(|cell| cell.load(Ordering::Relaxed).max(now));
        let soonest = full_at[0].min(full_at[1]);
        let wait = (soonest - now).saturating_sub(self.burst);
        if wait > 0 {
            if let Some(told) = &self.told {
                told(address);
            }
            return Err(Duration::from_nanos(wait));
        }
        for cell in cells {
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                Some(full_at.max(now).saturating_add(self.interval))
            });
        }
        Ok(())
    }

    fn cell(&self, table: usize, key: &(u64, &str)) -> &AtomicU64 {
        let hash = self.hashers[table].hash_one(key);
        let at = usize::try_from(hash % CELLS as u64).unwrap_or(0);
        &self.full_at[table][at]
    }
}

/// One who can have many addresses of IPv6 counts as one: his /64.
fn subscriber(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()) | 0xffff << 48,
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// Answers with `too_many` where an address asks a route too often. Routes are those of `router`;
/// whatever none of them takes is one route.
pub fn layer(router: Router, rates: Option<Arc<Rates>>, too_many: TooMany) -> Router {
    match rates {
        Some(rates) => router.layer(from_fn_with_state((rates, too_many), limit)),
        None => router,
    }
}

async fn limit(
    State((rates, too_many)): State<(Arc<Rates>, TooMany)>,
    request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let route = extensions.get().map_or("", MatchedPath::as_str);
    let admitted = match extensions.get::<Client>() {
        Some(client) => rates.admit(client.address, route),
        None => Ok(()),
    };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(wait) => too_many(wait, &RequestId::of(&request)),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Mutex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rates(per_second: u32) -> (Arc<Mutex<Duration>>, Rates) {
        let time = Arc::new(Mutex::new(Duration::from_hours(1)));
        let clock = Arc::clone(&time);
        let rates = Rates::new(per_second, Arc::new(move || *clock.lock().unwrap()));
        (time, rates)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_a_second_of_requests_at_once_and_then_its_rate() {
        let (time, rates) = rates(100);
        let ask = || rates.admit(address("192.0.2.1"), "/a");
        assert_eq!((0..150).filter(|_| ask().is_ok()).count(), 100);
        assert_eq!(ask(), Err(SECOND / 100));
        *time.lock().unwrap() += SECOND / 2;
        assert_eq!((0..150).filter(|_| ask().is_ok()).count(), 50);
        *time.lock().unwrap() += 9 * SECOND;
        assert_eq!((0..150).filter(|_| ask().is_ok()).count(), 100);
    }

    #[test]
    fn addresses_and_routes_have_buckets_of_their_own_and_a_64_has_one() {
        let (_, rates) = rates(1);
        let first = |text, route| rates.admit(address(text), route).is_ok();
        assert!(first("192.0.2.1", "/a"));
        assert!(!first("192.0.2.1", "/a"));
        assert!(!first("::ffff:192.0.2.1", "/a"));
        assert!(first("192.0.2.1", "/b"));
        assert!(first("192.0.2.2", "/a"));
        assert!(first("2001:db8::1", "/a"));
        assert!(!first("2001:db8::ffff:1", "/a"));
        assert!(first("2001:db8:0:1::1", "/a"));
        assert!(first("::1", "/a"));
    }

    #[test]
    fn a_thousand_addresses_at_their_limit_leave_the_others_alone() {
        let (_, rates) = rates(2);
        for n in 0..1000 {
            let flood = IpAddr::from(Ipv4Addr::from_bits(n));
            while rates.admit(flood, "/a").is_ok() {}
        }
        let others = (0..10_000).map(|n| IpAddr::from(Ipv4Addr::from_bits(n | 10 << 24)));
        let refused = others.filter(|other| rates.admit(*other, "/a").is_err());
        // Of 10,000 about 2 share both cells with others.
        assert!(refused.count() < 400);
    }

    #[test]
    fn many_at_once_get_no_more_than_the_limit_but_for_those_that_decide_together() {
        let (_, rates) = rates(1000);
        let admitted: usize = std::thread::scope(|scope| {
            let ask = || {
                let ask = |_: &u32| rates.admit(address("192.0.2.1"), "/a").is_ok();
                (0..2000).filter(ask).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert!((1000..1004).contains(&admitted), "{admitted}");
    }
}
