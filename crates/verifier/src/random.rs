//! Randomness, so that many verifiers do not come at once.

use std::time::Duration;

use aws_lc_rs::rand;

/// A part of `whole`, each as likely as another.
pub(crate) fn part_of(whole: Duration) -> Duration {
    let mut bytes = [0; 2];
    // Without randomness: the middle. Nothing depends on it but politeness.
    let number = match rand::fill(&mut bytes) {
        Ok(()) => u16::from_le_bytes(bytes),
        Err(_) => u16::MAX / 2,
    };
    whole.mul_f64(f64::from(number) / f64::from(u16::MAX))
}

/// A number below `count`.
pub(crate) fn one_of(count: usize) -> usize {
    let mut bytes = [0; 2];
    if rand::fill(&mut bytes).is_err() {
        return 0;
    }
    usize::from(u16::from_le_bytes(bytes)) % count.max(1)
}

/// A pause that doubles up to a bound; half of it is random.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        pause / 2 + part_of(pause / 2)
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_bound_and_begin_anew() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(300));
        for most in [100, 200, 300, 300] {
            let pause = backoff.pause();
            assert!(
                pause >= ms(most / 2) && pause <= ms(most),
                "{pause:?} of {most}"
            );
        }
        backoff.reset();
        assert!(backoff.pause() <= ms(100));
    }
}
