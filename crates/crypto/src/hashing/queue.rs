//! A bounded queue that networks share fairly.

use std::collections::{HashMap, VecDeque};

use sso_core::Network;

/// What became of an item that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    /// It waits.
    Admitted,
    /// It waits in the place of this one, which was the newest of the network with the most.
    Displaced(T),
    /// There is no room for it: its network has its share already.
    Refused(T),
}

/// First come, first served within a network; networks take turns. The room of a full queue is
/// divided equally: see [`FairQueue::offer`].
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    capacity: usize,
    len: usize,
    /// Each network's items with their numbers, oldest first; no lane is empty.
    lanes: HashMap<Network, VecDeque<(u64, T)>>,
    /// Every network that has a lane, in the order of its next turn.
    turns: VecDeque<Network>,
}

impl<T> FairQueue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            len: 0,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Offers an item under a number that rises from call to call.
    ///
    /// When the queue is full, the newcomer displaces the newest item of the network that has the
    /// most, if that makes the shares more equal: his network must have at least two fewer. (With
    /// one fewer the two would only change places, and go on doing so while both keep coming.)
    pub(super) fn offer(&mut self, network: Network, number: u64, item: T) -> Admission<T> {
        if self.len < self.capacity {
            self.push(network, number, item);
            return Admission::Admitted;
        }
        let own = self.lanes.get(&network).map_or(0, VecDeque::len);
        match self.largest() {
            Some((largest, share)) if own + 1 < share => match self.pop_newest(largest) {
                Some(displaced) => {
                    self.push(network, number, item);
                    Admission::Displaced(displaced)
                }
                None => Admission::Refused(item),
            },
            _ => Admission::Refused(item),
        }
    }

    /// How many are served before one that this network would offer now.
    pub(super) fn ahead_of(&self, network: Network) -> usize {
        let own = self.lanes.get(&network).map_or(0, VecDeque::len);
        let others = self.lanes.iter().filter(|(other, _)| **other != network);
        own + others
            .map(|(_, lane)| lane.len().min(own + 1))
            .sum::<usize>()
    }

    /// Takes the oldest item of the network whose turn it is.
    pub(super) fn next(&mut self) -> Option<T> {
        let network = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&network)?;
        let (_, item) = lane.pop_front()?;
        if lane.is_empty() {
            self.lanes.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        self.len -= 1;
        Some(item)
    }

    /// Takes the item with this number out, if it still waits.
    pub(super) fn withdraw(&mut self, network: Network, number: u64) -> Option<T> {
        let lane = self.lanes.get_mut(&network)?;
        let at = lane.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        let (_, item) = lane.remove(at)?;
        self.len -= 1;
        self.forget_if_empty(network);
        Some(item)
    }

    fn push(&mut self, network: Network, number: u64, item: T) {
        let lane = self.lanes.entry(network).or_default();
        if lane.is_empty() {
            self.turns.push_back(network);
        }
        lane.push_back((number, item));
        self.len += 1;
    }

    fn pop_newest(&mut self, network: Network) -> Option<T> {
        let (_, item) = self.lanes.get_mut(&network)?.pop_back()?;
        self.len -= 1;
        self.forget_if_empty(network);
        Some(item)
    }

    fn forget_if_empty(&mut self, network: Network) {
        if self.lanes.get(&network).is_some_and(VecDeque::is_empty) {
            self.lanes.remove(&network);
            self.turns.retain(|turn| *turn != network);
        }
    }

    /// The network with the most items and how many it has; of equals the one that came last.
    fn largest(&self) -> Option<(Network, usize)> {
        self.lanes
            .iter()
            .max_by_key(|(_, lane)| (lane.len(), lane.back().map(|(number, _)| *number)))
            .map(|(network, lane)| (*network, lane.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(n: u8) -> Network {
        Network::of(Some([10, 0, n, 1].into()))
    }

    /// Offers items named by their own number, as (network, number).
    fn filled(capacity: usize, networks: &[u8]) -> FairQueue<(u8, u64)> {
        let mut queue = FairQueue::new(capacity);
        for (number, n) in (0..).zip(networks) {
            let admission = queue.offer(network(*n), number, (*n, number));
            assert_eq!(admission, Admission::Admitted);
        }
        queue
    }

    fn drained(mut queue: FairQueue<(u8, u64)>) -> Vec<(u8, u64)> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn networks_take_turns_and_each_is_served_in_its_order() {
        let queue = filled(8, &[1, 1, 1, 2, 3, 3]);
        let order = [(1, 0), (2, 3), (3, 4), (1, 1), (3, 5), (1, 2)];
        assert_eq!(drained(queue), order);
    }

    #[test]
    fn a_flood_of_one_network_is_not_ahead_of_another() {
        let queue = filled(9, &[1, 1, 1, 1, 1, 1, 2]);
        assert_eq!(queue.ahead_of(network(1)), 7);
        assert_eq!(queue.ahead_of(network(2)), 3);
        assert_eq!(queue.ahead_of(network(3)), 2);
    }

    #[test]
    fn one_network_alone_may_use_the_whole_queue_and_no_more() {
        let mut queue = filled(3, &[1, 1, 1]);
        assert_eq!(
            queue.offer(network(1), 9, (1, 9)),
            Admission::Refused((1, 9))
        );
        assert_eq!(drained(queue).len(), 3);
    }

    #[test]
    fn a_newcomer_displaces_the_newest_of_the_largest() {
        let mut queue = filled(4, &[1, 1, 1, 2]);
        assert_eq!(
            queue.offer(network(3), 9, (3, 9)),
            Admission::Displaced((1, 2))
        );
        assert_eq!(queue.len(), 4);
        assert_eq!(drained(queue), [(1, 0), (2, 3), (3, 9), (1, 1)]);
    }

    #[test]
    fn equal_shares_are_left_alone() {
        let mut queue = filled(4, &[1, 1, 2, 2]);
        assert_eq!(
            queue.offer(network(1), 8, (1, 8)),
            Admission::Refused((1, 8))
        );
        assert_eq!(
            queue.offer(network(3), 9, (3, 9)),
            Admission::Displaced((2, 3))
        );
        // One against two: they would only change places.
        assert_eq!(
            queue.offer(network(2), 10, (2, 10)),
            Admission::Refused((2, 10))
        );
    }

    #[test]
    fn what_is_withdrawn_is_not_served_and_its_place_is_free() {
        let mut queue = filled(3, &[1, 1, 2]);
        assert_eq!(queue.withdraw(network(2), 2), Some((2, 2)));
        assert_eq!(queue.withdraw(network(2), 2), None);
        assert_eq!(queue.withdraw(network(1), 7), None);
        assert_eq!(queue.offer(network(2), 9, (2, 9)), Admission::Admitted);
        assert_eq!(queue.withdraw(network(1), 0), Some((1, 0)));
        assert_eq!(drained(queue), [(1, 1), (2, 9)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_flood_takes_more_than_its_share(
            capacity in 1_usize..12,
            steps in prop::collection::vec((0_u8..5, 0_u8..4), 0..120),
        ) {
            let mut queue = FairQueue::new(capacity);
            let (mut inside, mut number) = (Vec::new(), 0_u64);
            for (n, action) in steps {
                number += 1;
                match action {
                    0 => if let Some(item) = queue.next() {
                        inside.retain(|i| *i != item);
                    } else {
                        prop_assert!(inside.is_empty());
                    },
                    1 => if let Some(item) = inside.first().copied() {
                        let (network_of, number_of): (u8, u64) = item;
                        prop_assert_eq!(queue.withdraw(network(network_of), number_of), Some(item));
                        inside.remove(0);
                    },
                    _ => match queue.offer(network(n), number, (n, number)) {
                        Admission::Admitted => inside.push((n, number)),
                        Admission::Displaced(item) => {
                            inside.retain(|i| *i != item);
                            inside.push((n, number));
                        }
                        Admission::Refused(_) => {
                            let share = |n| inside.iter().filter(|(m, _)| *m == n).count();
                            prop_assert_eq!(inside.len(), capacity);
                            prop_assert!((0..5).all(|m| share(m) <= share(n) + 1));
                        }
                    },
                }
                prop_assert_eq!(queue.len(), inside.len());
                prop_assert!(queue.len() <= capacity);
                prop_assert_eq!(queue.turns.len(), queue.lanes.len());
            }
            let mut rest: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
            rest.sort_unstable_by_key(|(_, number)| *number);
            prop_assert_eq!(rest, inside);
        }
    }
}
