//! Which job is next: logins before registrations, big hashes one at a time.

use sso_core::{
    Network,
    ports::{Queue, Work},
};

use super::queue::{Admission, FairQueue};

/// What a job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// At most the memory of a new hash.
    Normal,
    /// More memory than each thread has for itself: of these one runs at a time.
    Heavy,
}

/// Where a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Login,
    Registration,
    Heavy,
}

/// Logins in a [`CYCLE`].
const LOGINS: usize = 3;

/// Three logins for a registration, while both wait. An empty lane's turn goes to the next.
const CYCLE: [Lane; 5] = [
    Lane::Login,
    Lane::Login,
    Lane::Login,
    Lane::Registration,
    Lane::Heavy,
];

/// Names a job while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    lane: Lane,
    network: Network,
    number: u64,
}

/// A job that is to be run now. A heavy one must be reported to [`Schedule::heavy_is_done`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next<T> {
    pub(super) item: T,
    pub(super) weight: Weight,
}

/// The jobs that wait.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    login: FairQueue<T>,
    registration: FairQueue<T>,
    heavy: FairQueue<T>,
    heavy_runs: bool,
    turn: usize,
    numbers: u64,
}

impl<T> Schedule<T> {
    /// Each lane holds `capacity` jobs.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            login: FairQueue::new(capacity),
            registration: FairQueue::new(capacity),
            heavy: FairQueue::new(capacity),
            heavy_runs: false,
            turn: 0,
            numbers: 0,
        }
    }

    /// Offers a job. The ticket is good for nothing if the job was refused.
    pub(super) fn offer(&mut self, work: Work, weight: Weight, item: T) -> (Ticket, Admission<T>) {
        self.numbers += 1;
        let lane = match (weight, work.queue) {
            (Weight::Heavy, _) => Lane::Heavy,
            (Weight::Normal, Queue::Login) => Lane::Login,
            (Weight::Normal, Queue::Registration) => Lane::Registration,
        };
        let ticket = Ticket {
            lane,
            network: work.network,
            number: self.numbers,
        };
        let admission = self.lane(lane).offer(ticket.network, ticket.number, item);
        (ticket, admission)
    }

    /// Takes the next job.
    pub(super) fn next(&mut self) -> Option<Next<T>> {
        for step in 0..CYCLE.len() {
            let at = (self.turn + step) % CYCLE.len();
            let lane = CYCLE[at];
            if lane == Lane::Heavy && self.heavy_runs {
                continue;
            }
            if let Some(item) = self.lane(lane).next() {
                self.turn = (at + 1) % CYCLE.len();
                let weight = match lane {
                    Lane::Login | Lane::Registration => Weight::Normal,
                    Lane::Heavy => Weight::Heavy,
                };
                self.heavy_runs |= weight == Weight::Heavy;
                return Some(Next { item, weight });
            }
        }
        None
    }

    /// The heavy job that ran has ended: another may run.
    pub(super) fn heavy_is_done(&mut self) {
        self.heavy_runs = false;
    }

    /// Takes a job out, if it still waits.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<T> {
        self.lane(ticket.lane)
            .withdraw(ticket.network, ticket.number)
    }

    /// Takes out everything that waits.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut all = Vec::new();
        for lane in [Lane::Login, Lane::Registration, Lane::Heavy] {
            while let Some(item) = self.lane(lane).next() {
                all.push(item);
            }
        }
        all
    }

    /// How many jobs are served before one that would be offered now.
    pub(super) fn ahead_of(&self, work: Work) -> usize {
        let (login, registration) = (&self.login, &self.registration);
        match work.queue {
            Queue::Login => {
                let ahead = login.ahead_of(work.network);
                ahead + registration.len().min(ahead / LOGINS)
            }
            Queue::Registration => {
                let ahead = registration.ahead_of(work.network);
                ahead + login.len().min((ahead + 1) * LOGINS)
            }
        }
    }

    /// How many wait. Heavy ones count as logins: new hashes are never heavy.
    pub(super) const fn depth(&self, queue: Queue) -> usize {
        match queue {
            Queue::Login => self.login.len() + self.heavy.len(),
            Queue::Registration => self.registration.len(),
        }
    }

    const fn lane(&mut self, lane: Lane) -> &mut FairQueue<T> {
        match lane {
            Lane::Login => &mut self.login,
            Lane::Registration => &mut self.registration,
            Lane::Heavy => &mut self.heavy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(queue: Queue) -> Work {
        Work {
            queue,
            network: Network::default(),
        }
    }

    fn offer(schedule: &mut Schedule<&'static str>, weight: Weight, name: &'static str) -> Ticket {
        let queue = if name.starts_with("registration") {
            Queue::Registration
        } else {
            Queue::Login
        };
        let (ticket, admission) = schedule.offer(work(queue), weight, name);
        assert_eq!(admission, Admission::Admitted);
        ticket
    }

    fn next(schedule: &mut Schedule<&'static str>) -> Option<&'static str> {
        schedule.next().map(|next| next.item)
    }

    #[test]
    fn three_logins_are_served_for_a_registration() {
        let mut schedule = Schedule::new(64);
        for _ in 0..9 {
            offer(&mut schedule, Weight::Normal, "login");
            offer(&mut schedule, Weight::Normal, "registration");
        }
        let order: Vec<_> = (0..12).filter_map(|_| next(&mut schedule)).collect();
        for four in order.chunks(4) {
            assert_eq!(four, ["login", "login", "login", "registration"]);
        }
    }

    #[test]
    fn a_queue_alone_has_every_turn() {
        let mut schedule = Schedule::new(64);
        for _ in 0..7 {
            offer(&mut schedule, Weight::Normal, "registration");
        }
        assert_eq!((0..7).filter_map(|_| next(&mut schedule)).count(), 7);
        assert_eq!(next(&mut schedule), None);
    }

    #[test]
    fn a_full_queue_of_registrations_leaves_room_for_logins() {
        let mut schedule = Schedule::new(1);
        offer(&mut schedule, Weight::Normal, "registration");
        let (_, refused) = schedule.offer(work(Queue::Registration), Weight::Normal, "one more");
        assert_eq!(refused, Admission::Refused("one more"));
        offer(&mut schedule, Weight::Normal, "login");
        assert_eq!(schedule.depth(Queue::Login), 1);
        assert_eq!(schedule.depth(Queue::Registration), 1);
    }

    #[test]
    fn a_heavy_job_runs_alone_among_its_kind_and_stops_no_other() {
        let mut schedule = Schedule::new(64);
        offer(&mut schedule, Weight::Heavy, "heavy 1");
        offer(&mut schedule, Weight::Heavy, "heavy 2");
        let first = schedule.next().expect("a job waits");
        assert_eq!((first.item, first.weight), ("heavy 1", Weight::Heavy));
        assert_eq!(next(&mut schedule), None);
        offer(&mut schedule, Weight::Normal, "login");
        assert_eq!(next(&mut schedule), Some("login"));
        schedule.heavy_is_done();
        assert_eq!(next(&mut schedule), Some("heavy 2"));
    }

    #[test]
    fn a_withdrawn_job_is_not_served() {
        let mut schedule = Schedule::new(64);
        let ticket = offer(&mut schedule, Weight::Normal, "login 1");
        offer(&mut schedule, Weight::Normal, "login 2");
        assert_eq!(schedule.withdraw(ticket), Some("login 1"));
        assert_eq!(schedule.withdraw(ticket), None);
        assert_eq!(schedule.drain(), ["login 2"]);
        assert_eq!(schedule.depth(Queue::Login), 0);
    }
}
