//! Which of its functions a program comes by: a breakpoint at the beginning of each, which is taken
//! away when it was hit (ptrace(2)).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// `int3`
const BREAKPOINT: u8 = 0xcc;

/// A command that waits for the tracer before it becomes the program. Arguments may follow.
pub(super) fn stopped(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""])
        .arg(program);
    command
}

/// Lets a command of [`stopped`] run for so long, then ends it; tells which of these addresses
/// in the program's file were reached.
pub(super) fn reached(
    mut command: Command,
    addresses: &BTreeSet<u64>,
    long: Duration,
) -> Result<BTreeSet<u64>> {
    let mut child = command.spawn().context("cannot run sh")?;
    let main = Pid::from_raw(i32::try_from(child.id())?);
    waitpid(main, Some(WaitPidFlag::WUNTRACED))?;
    let options =
        Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options)?;
    kill(main, Signal::SIGCONT)?;
    // Dropped when it has ended by itself.
    let (ended, end) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if end.recv_timeout(long) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(main, Signal::SIGKILL);
        }
    });
    let reached = Traced::follow(main, addresses);
    drop(ended);
    let _ = watch.join();
    // It was waited for already, unless following failed.
    let _ = child.kill();
    reached
}

struct Traced {
    memory: File,
    /// Where the beginning of the file lies in memory.
    base: u64,
    /// What stood where breakpoints stand now, by address in the file.
    instead_of: BTreeMap<u64, u8>,
    reached: BTreeSet<u64>,
}

impl Traced {
    fn follow(main: Pid, addresses: &BTreeSet<u64>) -> Result<BTreeSet<u64>> {
        let mut traced = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                    traced = Some(Self::begin(main, addresses)?);
                    go_on(pid, None)?;
                }
                // A new thread, or one that goes on after a stop.
                WaitStatus::PtraceEvent(pid, ..) => go_on(pid, None)?,
                WaitStatus::Stopped(pid, signal) => {
                    let hit = match &mut traced {
                        Some(traced) if signal == Signal::SIGTRAP => traced.hit(pid)?,
                        _ => false,
                    };
                    go_on(pid, (!hit).then_some(signal))?;
                }
                WaitStatus::Signaled(pid, Signal::SIGKILL, _) if pid == main => break,
                status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..))
                    if pid == main =>
                {
                    bail!("it ended by itself: {status:?}")
                }
                _ => {}
            }
        }
        let traced = traced.context("it was never executed")?;
        Ok(traced.reached)
    }

    /// Sets all breakpoints.
    fn begin(main: Pid, addresses: &BTreeSet<u64>) -> Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{main}/maps"))?;
        // The dynamic linker's place is not asked for: what is shipped is static.
        let (base, _) = maps.split_once('-').context("no mappings")?;
        let mut traced = Self {
            memory: File::options()
                .read(true)
                .write(true)
                .open(format!("/proc/{main}/mem"))?,
            base: u64::from_str_radix(base, 16)?,
            instead_of: BTreeMap::new(),
            reached: BTreeSet::new(),
        };
        for &address in addresses {
            let mut was = [0];
            let place = traced.base + address;
            traced.memory.read_exact_at(&mut was, place)?;
            traced.memory.write_all_at(&[BREAKPOINT], place)?;
            traced.instead_of.insert(address, was[0]);
        }
        ensure!(!traced.instead_of.is_empty(), "nothing to look for");
        Ok(traced)
    }

    /// Whether this thread stands behind a breakpoint of ours; if so, it will run what stood there.
    fn hit(&mut self, thread: Pid) -> Result<bool> {
        let mut registers = match ptrace::getregs(thread) {
            // It was killed while it stood there.
            Err(Errno::ESRCH) => return Ok(true),
            registers => registers?,
        };
        let next = next(&mut registers);
        let place = next.wrapping_sub(1);
        let address = place.wrapping_sub(self.base);
        let Some(&was) = self.instead_of.get(&address) else {
            return Ok(false);
        };
        self.reached.insert(address);
        self.memory.write_all_at(&[was], place)?;
        *next = place;
        match ptrace::setregs(thread, registers) {
            Err(Errno::ESRCH) => Ok(true),
            set => Ok(set.map(|()| true)?),
        }
    }
}

/// One that was killed meanwhile goes nowhere.
fn go_on(thread: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::cont(thread, signal) {
        Err(Errno::ESRCH) => Ok(()),
        gone_on => Ok(gone_on?),
    }
}

/// The address of the next instruction.
fn next(registers: &mut libc::user_regs_struct) -> &mut u64 {
    // What is shipped is for x86-64; elsewhere this is compiled, with the rest of us, and never run.
    #[cfg(target_arch = "x86_64")]
    return &mut registers.rip;
    #[cfg(not(target_arch = "x86_64"))]
    return &mut registers.pc;
}
