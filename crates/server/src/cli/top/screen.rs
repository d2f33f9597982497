//! The frames on a terminal, and the keys.

use std::{
    io,
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers},
};

use super::{Away, Scraped, Source, format, view::View};
use crate::exit::Exit;

const KEYS: &str = "q quits";
/// Lines of a page.
const PAGE: u16 = 10;

/// What a key wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Quit,
    Up(u16),
    Down(u16),
}

/// Draws a frame each interval until somebody quits. The terminal is left as it was, after a panic
/// too.
pub(super) fn show(source: &Source, first: Scraped, interval: Duration) -> io::Result<Exit> {
    let mut terminal = ratatui::try_init()?;
    let shown = Screen::new(first).run(&mut terminal, source, interval);
    ratatui::restore();
    shown.map(|()| Exit::Success)
}

struct Screen {
    before: Scraped,
    view: Option<View>,
    /// Why there are no newer figures.
    trouble: Option<String>,
    skip: u16,
    /// How many lines are below what is seen.
    below: u16,
}

impl Screen {
    const fn new(first: Scraped) -> Self {
        Self {
            before: first,
            view: None,
            trouble: None,
            skip: 0,
            below: 0,
        }
    }

    fn run(
        mut self,
        terminal: &mut DefaultTerminal,
        source: &Source,
        interval: Duration,
    ) -> io::Result<()> {
        let mut next = Instant::now() + interval;
        loop {
            self.draw(terminal, source)?;
            let left = next.saturating_duration_since(Instant::now());
            if event::poll(left)? {
                match wish(&event::read()?) {
                    Some(Wish::Quit) => return Ok(()),
                    Some(Wish::Up(lines)) => self.skip = self.skip.saturating_sub(lines),
                    Some(Wish::Down(lines)) => self.skip += lines.min(self.below),
                    None => {}
                }
            }
            if Instant::now() >= next {
                self.look(source);
                next = Instant::now() + interval;
            }
        }
    }

    /// Takes the next page; without one the last figures stay, and it is said how old they are.
    fn look(&mut self, source: &Source) {
        match source.scrape() {
            Ok(now) => {
                self.view = Some(source.view(self.before.until(&now)));
                self.trouble = None;
                self.before = now;
            }
            Err(why) => self.mourn(&why),
        }
    }

    fn mourn(&mut self, why: &Away) {
        let age = self.before.at.elapsed().as_secs_f64();
        let trouble = format!("no answer for {}: {why}", format::seconds(Some(age)));
        if let Some(view) = &mut self.view {
            view.state.clone_from(&trouble);
            view.well = false;
        }
        self.trouble = Some(trouble);
    }

    fn draw(&mut self, terminal: &mut DefaultTerminal, source: &Source) -> io::Result<()> {
        terminal.draw(|frame| {
            let area = frame.area();
            if let Some(view) = &self.view {
                self.below = view.draw(area, self.skip, KEYS, frame.buffer_mut());
            } else {
                let begun =
                    || format!("the first interval of {} is under way", source.door.address);
                frame.render_widget(self.trouble.clone().unwrap_or_else(begun), area);
            }
        })?;
        Ok(())
    }
}

fn wish(event: &Event) -> Option<Wish> {
    let Event::Key(KeyEvent {
        code, modifiers, ..
    }) = event
    else {
        return None;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
        // A raw terminal makes no signal of it.
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Wish::Up(1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Wish::Down(1)),
        KeyCode::PageUp => Some(Wish::Up(PAGE)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Wish::Down(PAGE)),
        _ => None,
    }
}
