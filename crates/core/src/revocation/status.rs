use std::{fmt, time::Duration};

/// How an instance stands with revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether tokens are validated.
    pub trusted: bool,
    /// Why the last beat was not answered; or why there was none.
    pub problem: Option<String>,
    /// How long tokens are validated if no further beat is answered.
    pub lease_left: Duration,
    /// Revocations that still matter.
    pub entries: usize,
    /// How long ago a beat was answered.
    pub beat_age: Option<Duration>,
    /// On which timeline; 0 where there are none, and before.
    pub timeline: u32,
}

/// One clear sentence.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.trusted {
            write!(f, "trusted for another {:.1?}", self.lease_left)?;
        } else {
            f.write_str("not trusted: no lease runs")?;
        }
        match self.beat_age {
            Some(age) => write!(f, "; the last beat was answered {age:.1?} ago")?,
            None => f.write_str("; no beat was ever answered")?,
        }
        write!(f, "; {} entries", self.entries)?;
        if self.timeline > 0 {
            write!(f, " on timeline {}", self.timeline)?;
        }
        match &self.problem {
            Some(problem) => write!(f, "; {problem}"),
            None => Ok(()),
        }
    }
}
