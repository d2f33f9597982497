//! Who is connected, and who must go when there is no room.
//!
//! Whoever only holds a connection (has sent no request, half of one, or has had his answer) makes
//! room for those who ask: the longest idle goes first. So neither one address nor all of them
//! together can keep others out by connecting and doing nothing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// When the listener is full, one in so many connections makes room at once: looking for them costs
/// a look at each.
const SHARE: usize = 32;

/// The connections of a listener.
pub(super) struct Room {
    /// Most of one address.
    per_address: usize,
    /// Counts whenever somebody becomes idle: the lower, the longer he is.
    clock: AtomicU64,
    seats: Mutex<HashMap<IpAddr, Vec<Arc<Seat>>>>,
    left: Notify,
}

/// What becomes of somebody who wants to enter.
pub(super) enum Entrance {
    /// He is in.
    Open(Guest),
    /// Others of his address are about to leave.
    Soon,
    /// All of his address are busy.
    Full,
}

/// One connection's place in it.
struct Seat {
    in_flight: AtomicU32,
    idle_since: AtomicU64,
    leave: CancellationToken,
}

impl Seat {
    /// No request is being answered.
    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    /// Was told to leave, and does so at once.
    fn is_leaving(&self) -> bool {
        self.leave.is_cancelled() && self.is_idle()
    }

    fn idle_since(&self) -> Option<u64> {
        let idle = self.is_idle() && !self.leave.is_cancelled();
        idle.then(|| self.idle_since.load(Ordering::Acquire))
    }
}

/// Holds a connection's place until it is dropped.
pub(super) struct Guest {
    room: Arc<Room>,
    address: IpAddr,
    seat: Arc<Seat>,
}

/// A request that is being answered, to the last byte of the answer's body.
pub(super) struct Busy(Arc<Guest>);

impl Room {
    /// An empty one.
    pub(super) fn new(per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            per_address,
            clock: AtomicU64::new(0),
            seats: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// A place for `address`, for which it may wait a moment; none if there is none.
    pub(super) async fn wait(
        self: &Arc<Self>,
        address: IpAddr,
        host: bool,
        patience: Duration,
    ) -> Option<Guest> {
        let patience = tokio::time::sleep(patience);
        let mut patience = std::pin::pin!(patience);
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // From here on nobody leaves unnoticed.
            left.as_mut().enable();
            match self.enter(address, host) {
                Entrance::Open(guest) => return Some(guest),
                Entrance::Full => return None,
                Entrance::Soon => {}
            }
            tokio::select! {
                () = left => {}
                () = patience.as_mut() => return None,
            }
        }
    }

    /// Gives `address` a place. If it has as many as one may have, the longest idle of them is told
    /// to leave; if none is idle, there is no place. A `host` is a proxy, whose connections are
    /// everybody's: they are not counted.
    fn enter(self: &Arc<Self>, address: IpAddr, host: bool) -> Entrance {
        let address = network(address);
        let seat = Arc::new(Seat {
            in_flight: AtomicU32::new(0),
            idle_since: AtomicU64::new(self.tick()),
            leave: CancellationToken::new(),
        });
        let mut seats = self.seats();
        let neighbours = seats.entry(address).or_default();
        // Who was told to leave does so at once, and counts no more; but there are not more of
        // those than of the others.
        let staying = neighbours.iter().filter(|seat| !seat.leave.is_cancelled());
        if !host && staying.count() >= self.per_address {
            if neighbours.len() >= self.per_address.saturating_mul(2) {
                return Entrance::Soon;
            }
            let Some(idle) = longest_idle(neighbours) else {
                return Entrance::Full;
            };
            idle.leave.cancel();
        }
        neighbours.push(Arc::clone(&seat));
        drop(seats);
        Entrance::Open(Guest {
            room: Arc::clone(self),
            address,
            seat,
        })
    }

    /// Tells the longest idle to leave, whoever they are; how many. Those who leave already count: on a
    /// busy machine they take their time, and everybody else would be told meanwhile.
    pub(super) fn make_room(&self) -> usize {
        let seats = self.seats();
        let all = seats.values().map(Vec::len).sum::<usize>();
        let leaving = seats.values().flatten().filter(|seat| seat.is_leaving());
        let wanted = (all / SHARE).max(1).saturating_sub(leaving.count());
        let mut idle: Vec<(u64, &Arc<Seat>)> = seats
            .values()
            .flatten()
            .filter_map(|seat| Some((seat.idle_since()?, seat)))
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.truncate(wanted);
        for (_, seat) in &idle {
            seat.leave.cancel();
        }
        idle.len()
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel)
    }

    /// Nothing here panics while it is locked.
    fn seats(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Arc<Seat>>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Marks the connection as busy until the result is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Busy {
        self.seat.in_flight.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Whether no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.seat.is_idle()
    }

    /// Resolves when the connection is to make room.
    pub(super) async fn asked_to_leave(&self) {
        self.seat.leave.cancelled().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Guest { room, seat, .. } = &*self.0;
        // Before it counts as idle, else it would be the longest idle for a moment.
        seat.idle_since.store(room.tick(), Ordering::Release);
        seat.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut seats = self.room.seats();
        let Some(neighbours) = seats.get_mut(&self.address) else {
            return;
        };
        neighbours.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        if neighbours.is_empty() {
            seats.remove(&self.address);
        }
        drop(seats);
        self.room.left.notify_waiters();
    }
}

fn longest_idle(seats: &[Arc<Seat>]) -> Option<&Arc<Seat>> {
    let idle = seats
        .iter()
        .filter_map(|seat| Some((seat.idle_since()?, seat)));
    idle.min_by_key(|(since, _)| *since).map(|(_, seat)| seat)
}

/// What counts as one address: of IPv6 the /64, which is what one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) & !u128::from(u64::MAX);
            Ipv6Addr::from(prefix).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn enter(room: &Arc<Room>, text: &str) -> Option<Arc<Guest>> {
        match room.enter(address(text), false) {
            Entrance::Open(guest) => Some(Arc::new(guest)),
            Entrance::Soon | Entrance::Full => None,
        }
    }

    fn leaves(guest: &Guest) -> bool {
        guest.asked_to_leave().now_or_never().is_some()
    }

    #[test]
    fn the_longest_idle_of_an_address_makes_room_for_the_next() {
        let room = Room::new(2);
        let [first, second] = ["192.0.2.1"; 2].map(|text| enter(&room, text).unwrap());
        // Since it has answered, the first is idle for a shorter time than the second.
        drop(first.answer());
        let third = enter(&room, "192.0.2.1").unwrap();
        assert_eq!(
            [&first, &second, &third].map(|guest| leaves(guest)),
            [false, true, false]
        );
    }

    #[test]
    fn who_is_being_answered_stays_and_others_of_his_address_are_refused() {
        let room = Room::new(2);
        let guests = ["192.0.2.1"; 2].map(|text| enter(&room, text).unwrap());
        let busy = guests.each_ref().map(Guest::answer);
        assert!(enter(&room, "192.0.2.1").is_none());
        assert!(guests.iter().all(|guest| !leaves(guest)));
        assert!(enter(&room, "192.0.2.2").is_some(), "another address");
        drop(busy);
        assert!(enter(&room, "192.0.2.1").is_some());
    }

    #[test]
    fn a_flood_does_not_pile_up_those_who_are_leaving() {
        let room = Room::new(3);
        let guests: Vec<_> = (0..100).filter_map(|_| enter(&room, "192.0.2.1")).collect();
        assert_eq!(guests.len(), 6);
    }

    #[tokio::test]
    async fn who_comes_while_others_are_leaving_waits_for_them() {
        let room = Room::new(1);
        let guests = ["192.0.2.1"; 2].map(|text| enter(&room, text).unwrap());
        assert!(leaves(&guests[0]));
        let wait = |patience| room.wait(address("192.0.2.1"), false, patience);
        assert!(wait(Duration::ZERO).await.is_none());
        let mut waiting = std::pin::pin!(wait(Duration::from_mins(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(guests);
        assert!(waiting.await.is_some());
    }

    #[test]
    fn a_place_is_free_again_when_its_guest_is_gone() {
        let room = Room::new(1);
        let guest = enter(&room, "192.0.2.1").unwrap();
        let busy = guest.answer();
        assert!(enter(&room, "192.0.2.1").is_none());
        drop((busy, guest));
        assert!(room.seats().is_empty());
        assert!(enter(&room, "192.0.2.1").is_some());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address_and_a_proxy_is_not_counted() {
        let room = Room::new(1);
        let guest = enter(&room, "2001:db8::1").unwrap();
        let _busy = guest.answer();
        assert!(enter(&room, "2001:db8::ffff:2").is_none());
        assert!(enter(&room, "2001:db8:0:1::1").is_some());
        let proxies: Vec<_> = (0..9)
            .map(|_| room.enter(address("2001:db8::1"), true))
            .collect();
        let open = |entrance: &Entrance| matches!(entrance, Entrance::Open(_));
        assert!(proxies.iter().all(open));
    }

    #[test]
    fn when_all_is_full_the_longest_idle_leave_a_few_at_a_time() {
        let room = Room::new(1000);
        let guests: Vec<_> = (0..64)
            .map(|_| enter(&room, "192.0.2.1").unwrap())
            .collect();
        let _busy = guests[0].answer();
        assert_eq!(room.make_room(), 2);
        let gone: Vec<_> = (0..64).filter(|at| leaves(&guests[*at])).collect();
        assert_eq!(gone, [1, 2]);
        assert_eq!(room.make_room(), 0, "they are about to go");
        let mut guests = guests;
        guests.drain(1..3);
        assert_eq!(room.make_room(), 1);
        assert!(leaves(&guests[1]) && !leaves(&guests[2]));
    }
}
