//! A terminal with a program in it.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::support::eventually_within;

/// The program is killed when this is dropped.
pub(super) struct Terminal {
    keys: File,
    written: Arc<Mutex<Vec<u8>>>,
    program: Child,
}

impl Terminal {
    /// Runs the command in a terminal of this size, which is its controlling one.
    pub(super) fn start(command: &Command, width: u16, height: u16) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let own: OwnedFd = open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY,
            Mode::empty(),
        )?;
        let keys = File::from(master);
        set_size(&keys, width, height)?;
        let mut in_it = Command::new("setsid");
        in_it.args(["--ctty", "--wait"]).arg(command.get_program());
        in_it.args(command.get_args()).env_clear();
        in_it.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        in_it
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm-256color");
        if let Some(folder) = command.get_current_dir() {
            in_it.current_dir(folder);
        }
        in_it
            .stdin(own.try_clone()?)
            .stderr(own.try_clone()?)
            .stdout(own);
        let program = in_it.spawn()?;
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, sink) = (keys.try_clone()?, Arc::clone(&written));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the program is an error of its terminal.
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.extend_from_slice(&buffer[..read]);
            }
        });
        Ok(Self {
            keys,
            written,
            program,
        })
    }

    /// What was written since the last change of the size.
    pub(super) fn screen(&self) -> String {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written).into_owned()
    }

    pub(super) fn shows(&self, text: &str) -> bool {
        self.screen().contains(text)
    }

    /// Waits until a frame has this word; blanks are not written. What did not change is not written again, so now and then
    /// the size changes by a column, and all of the frame is.
    pub(super) async fn comes_to_show(
        &self,
        text: &str,
        (width, height): (u16, u16),
    ) -> Result<()> {
        for attempt in 0..60 {
            self.resize(width + attempt % 2, height)?;
            let shows = async || Ok(self.shows(text));
            if eventually_within(Duration::from_secs(1), text, shows)
                .await
                .is_ok()
            {
                return Ok(());
            }
        }
        bail!("{text} is not in {:?}", self.screen())
    }

    /// Changes the size; what was written before is forgotten.
    fn resize(&self, width: u16, height: u16) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        set_size(&self.keys, width, height)?;
        written.clear();
        Ok(())
    }

    pub(super) fn type_in(&mut self, keys: &[u8]) -> Result<()> {
        Ok(self.keys.write_all(keys)?)
    }

    /// Waits for the program's end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.program.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn set_size(terminal: &File, width: u16, height: u16) -> Result<()> {
    let size = Winsize {
        ws_row: height,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}
