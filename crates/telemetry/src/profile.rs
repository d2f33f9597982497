//! Where the processor's time goes, by thread: our threads have names, so a few seconds tell whether it is
//! hashing, requests or the database, and whether they wait for a processor. No stacks: what is shipped has no
//! symbols, and `perf` finds them better from outside.

use std::{
    collections::HashMap,
    fs,
    io::{self, Error, ErrorKind},
    time::Duration,
};

/// What a thread did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// As the kernel knows it, 15 bytes at most.
    pub name: String,
    /// On a processor.
    pub running: Duration,
    /// Ready to run, while others had the processors.
    pub waiting: Duration,
    /// How often it got one.
    pub turns: u64,
}

/// What each thread of this process did since it began, by its id.
#[derive(Debug)]
pub struct Snapshot(HashMap<u32, Thread>);

impl Snapshot {
    /// Reads it from `/proc/self/task`. Fails where the kernel keeps no such figures
    /// (`CONFIG_SCHED_INFO`).
    pub fn take() -> io::Result<Self> {
        let mut threads = HashMap::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let path = entry?.path();
            let id = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let id = id.ok_or(ErrorKind::InvalidData)?;
            match read(&path) {
                Ok(thread) => drop(threads.insert(id, thread)),
                // It has ended meanwhile, which it cannot have done where there are none of these files.
                Err(error) if error.kind() == ErrorKind::NotFound && path.join("comm").exists() => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Ok(Self(threads))
    }

    /// What each did since `earlier`, the busiest first; those that did nothing are left out.
    pub fn since(&self, earlier: &Self) -> Vec<Thread> {
        let mut threads: Vec<_> = self
            .0
            .iter()
            .map(|(id, now)| match earlier.0.get(id) {
                Some(before) => Thread {
                    name: now.name.clone(),
                    running: now.running.saturating_sub(before.running),
                    waiting: now.waiting.saturating_sub(before.waiting),
                    turns: now.turns.saturating_sub(before.turns),
                },
                None => now.clone(),
            })
            .filter(|thread| thread.turns > 0)
            .collect();
        threads.sort_by(|a, b| b.running.cmp(&a.running).then_with(|| a.name.cmp(&b.name)));
        threads
    }
}

fn read(task: &std::path::Path) -> io::Result<Thread> {
    let name = fs::read_to_string(task.join("comm"))?;
    let figures = fs::read_to_string(task.join("schedstat"))?;
    let mut figures = figures.split_whitespace().map(str::parse);
    let mut next = || {
        let figure = figures.next().and_then(Result::ok);
        figure.ok_or_else(|| Error::from(ErrorKind::InvalidData))
    };
    Ok(Thread {
        name: name.trim_end().to_owned(),
        running: Duration::from_nanos(next()?),
        waiting: Duration::from_nanos(next()?),
        turns: next()?,
    })
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, sync::mpsc, thread::Builder, time::Instant};

    use super::*;

    #[test]
    fn a_thread_that_works_is_told_from_one_that_waits() {
        let before = Snapshot::take().unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let waits = Builder::new().name("waits".to_owned());
        let waiting = waits.spawn(move || stopped.recv()).unwrap();
        let works = Builder::new().name("works".to_owned());
        let working = works.spawn(|| {
            let (started, mut count) = (Instant::now(), 0_u64);
            while started.elapsed() < Duration::from_millis(100) {
                count = black_box(count + 1);
            }
            // Before it ends.
            Snapshot::take().unwrap()
        });
        let threads = working.unwrap().join().unwrap().since(&before);
        drop(stop);
        assert!(waiting.join().unwrap().is_err());
        let of = |name: &str| threads.iter().find(|thread| thread.name == name);
        let ran = |name| of(name).map_or(Duration::ZERO, |thread| thread.running);
        assert!(ran("works") > Duration::from_millis(20), "{threads:?}");
        assert!(ran("waits") < ran("works"), "{threads:?}");
        assert!(threads.is_sorted_by(|a, b| a.running >= b.running));
    }
}
