//! Which faults come when: all of them alone in a shuffled order, then pairs in different parts.

use sso_core::ports::Random;
use sso_testkit::random::SeededRandom;

use crate::parts::Fault;

/// An endless row of rounds that follows from its seed.
pub(crate) struct Schedule {
    random: SeededRandom,
    alone: Vec<Fault>,
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        let mut schedule = Self {
            random: SeededRandom::new(seed),
            alone: Fault::all(),
        };
        for at in (1..schedule.alone.len()).rev() {
            let other = schedule.draw(at + 1);
            schedule.alone.swap(at, other);
        }
        schedule
    }

    /// What happens at once in the next round.
    pub(crate) fn next(&mut self) -> Vec<Fault> {
        if let Some(fault) = self.alone.pop() {
            return vec![fault];
        }
        let all = Fault::all();
        let first = all[self.draw(all.len())];
        let others: Vec<_> = all
            .into_iter()
            .filter(|fault| fault.part() != first.part())
            .collect();
        vec![first, others[self.draw(others.len())]]
    }

    /// Below `bound`, which is not 0.
    fn draw(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        usize::from_le_bytes(bytes) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_comes_alone_first_and_pairs_are_of_two_parts() {
        let mut schedule = Schedule::new(7);
        let mut alone: Vec<_> = Fault::all().iter().flat_map(|_| schedule.next()).collect();
        alone.sort_unstable();
        let mut all = Fault::all();
        all.sort_unstable();
        assert_eq!(alone, all);
        for _ in 0..1000 {
            let pair = schedule.next();
            assert_eq!(pair.len(), 2);
            assert_ne!(pair[0].part(), pair[1].part());
        }
    }

    #[test]
    fn a_seed_gives_the_same_rounds_again() {
        let rounds = |seed| {
            let mut schedule = Schedule::new(seed);
            (0..100).map(|_| schedule.next()).collect::<Vec<_>>()
        };
        assert_eq!(rounds(1), rounds(1));
        assert_ne!(rounds(1), rounds(2));
    }
}
