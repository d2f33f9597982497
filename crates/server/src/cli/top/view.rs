//! A frame of figures: on a screen, or as text.

use std::fmt::Write as _;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Widget},
};

use super::figures::{Row, Section};

/// From this width on, sections stand beside each other.
const WIDE: u16 = 112;
/// Between two columns of sections.
const GUTTER: u16 = 3;
/// Between two cells.
const GAP: usize = 2;
/// So wide is the name of a row at least, if it is cut.
const NAME: usize = 8;

/// Everything that a frame shows.
#[derive(Debug)]
pub(super) struct View {
    /// Who is shown, and over which time.
    pub(super) title: String,
    /// How it is, in a sentence.
    pub(super) state: String,
    /// Whether that is well.
    pub(super) well: bool,
    /// Sections that stand on the left of a wide screen, and above the others on a narrow one.
    pub(super) left: Vec<Section>,
    /// The others.
    pub(super) right: Vec<Section>,
}

impl View {
    /// Draws as much as there is room for, from line `skip` on. Says how many lines are left out
    /// below.
    pub(super) fn draw(&self, area: Rect, skip: u16, keys: &str, buffer: &mut Buffer) -> u16 {
        let [head, body, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Fill(1),
            Constraint::Length(u16::from(!keys.is_empty())),
        ])
        .areas(area);
        Paragraph::new(self.head()).render(head, buffer);
        let columns = self.columns(area.width);
        let lines = columns.iter().map(|(_, lines)| lines.len()).max();
        let beyond = u16::try_from(lines.unwrap_or_default()).unwrap_or(u16::MAX);
        let most = beyond.saturating_sub(body.height);
        let skip = skip.min(most);
        for (from, lines) in columns {
            let column = Rect {
                x: body.x + from,
                width: body.width.saturating_sub(from),
                ..body
            };
            Paragraph::new(lines)
                .scroll((skip, 0))
                .render(column, buffer);
        }
        let left_out = most - skip;
        let more = if left_out > 0 {
            format!("{keys}; {left_out} more lines below")
        } else {
            keys.to_owned()
        };
        Line::styled(more, Modifier::DIM).render(foot, buffer);
        left_out
    }

    /// All of it as text, of this width and as high as it needs to be.
    pub(super) fn text(&self, width: u16) -> String {
        let lines = self
            .columns(width)
            .iter()
            .map(|(_, lines)| lines.len())
            .max();
        let height = 2 + u16::try_from(lines.unwrap_or_default()).unwrap_or(u16::MAX - 2);
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        self.draw(buffer.area, 0, "", &mut buffer);
        let row = |cells: &[ratatui::buffer::Cell]| {
            let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            text.trim_end().to_owned()
        };
        let rows: Vec<String> = buffer.content().chunks(width.into()).map(row).collect();
        rows.join("\n").trim_end().to_owned()
    }

    fn head(&self) -> Vec<Line<'_>> {
        let color = if self.well { Color::Green } else { Color::Red };
        vec![
            Line::styled(self.title.as_str(), Modifier::BOLD),
            Line::styled(self.state.as_str(), color),
        ]
    }

    /// The columns of sections: where each begins, and its lines.
    fn columns(&self, width: u16) -> Vec<(u16, Vec<Line<'_>>)> {
        if width < WIDE {
            let all = self.left.iter().chain(&self.right);
            return vec![(0, all.flat_map(|section| lines(section, width)).collect())];
        }
        let each = (width - GUTTER) / 2;
        vec![
            (0, column(&self.left, each)),
            (each + GUTTER, column(&self.right, each)),
        ]
    }
}

fn column(sections: &[Section], width: u16) -> Vec<Line<'_>> {
    let lines = sections.iter().map(|section| lines(section, width));
    lines.flatten().collect()
}

/// A section as lines of a width: an empty one, its headings, its rows.
fn lines(section: &Section, width: u16) -> Vec<Line<'_>> {
    let width = usize::from(width);
    let mut cells = vec![0; section.columns.len()];
    let headings = section.columns.iter().map(|heading| heading.len());
    let rows = section
        .rows
        .iter()
        .map(|row| row.cells.iter().map(String::len));
    for (cell, heading) in cells.iter_mut().zip(headings) {
        *cell = heading;
    }
    for row in rows {
        for (cell, found) in cells.iter_mut().zip(row) {
            *cell = found.max(*cell);
        }
    }
    let taken: usize = cells.iter().map(|cell| cell + GAP).sum();
    let name = width.saturating_sub(taken).max(NAME);
    let title = Row {
        name: section.title.to_owned(),
        cells: section
            .columns
            .iter()
            .map(|&heading| heading.to_owned())
            .collect(),
        warns: false,
    };
    let mut lines = vec![
        Line::default(),
        Line::styled(padded(&title, name, &cells), Modifier::BOLD),
    ];
    for row in &section.rows {
        let style = if row.warns {
            Style::from(Color::Yellow)
        } else {
            Style::default()
        };
        lines.push(Line::from(Span::styled(padded(row, name, &cells), style)));
    }
    lines
}

/// A row with its name on the left and its cells on the right of their columns. Names and cells are
/// ASCII.
fn padded(row: &Row, name: usize, cells: &[usize]) -> String {
    let mark = if row.warns { "! " } else { "" };
    let mut text = format!("{mark}{}", row.name);
    if text.len() > name {
        text = text
            .chars()
            .take(name.saturating_sub(1))
            .chain(['~'])
            .collect();
    }
    let mut line = format!("{text:name$}");
    for (cell, size) in row.cells.iter().zip(cells) {
        // Writing to a string does not fail.
        let _ = write!(line, "{:GAP$}{cell:>size$}", "");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let row = |name: &str, cells: [&str; 2], warns| Row {
            name: name.to_owned(),
            cells: cells.map(str::to_owned).to_vec(),
            warns,
        };
        View {
            title: "sso 1.2.3 at 127.0.0.1:9464, over 1.00 s".to_owned(),
            state: "tokens are validated, lease 9.8 s".to_owned(),
            well: true,
            left: vec![Section {
                title: "HTTP",
                columns: &["/s", "95 %"],
                rows: vec![
                    row("/auth/registration", ["12.0", "250 ms"], false),
                    row("/auth/login", ["3.00", "1.0 s"], true),
                ],
            }],
            right: vec![Section {
                title: "Process",
                columns: &[""],
                rows: vec![Row {
                    name: "cores in use".to_owned(),
                    cells: vec!["0.25".to_owned()],
                    warns: false,
                }],
            }],
        }
    }

    #[test]
    fn a_narrow_frame_has_one_column_and_a_wide_one_has_two() {
        let narrow = [
            "sso 1.2.3 at 127.0.0.1:9464, over 1.00 s",
            "tokens are validated, lease 9.8 s",
            "",
            "HTTP                          /s    95 %",
            "/auth/registration          12.0  250 ms",
            "! /auth/login               3.00   1.0 s",
            "",
            "Process",
            "cores in use                        0.25",
        ];
        assert_eq!(view().text(40), narrow.join("\n"));
        let wide = view().text(WIDE);
        assert_eq!(wide.lines().count(), 6, "{wide}");
        let beside = wide.lines().find(|line| line.contains("HTTP"));
        assert!(beside.unwrap().contains("Process"), "{wide}");
    }

    #[test]
    fn names_are_cut_before_figures_are() {
        let text = view().text(24);
        assert!(text.contains("/auth/reg~  12.0  250 ms"), "{text}");
    }

    #[test]
    fn any_size_of_a_screen_can_be_drawn_and_says_what_is_left_out() {
        for width in 0..130 {
            for height in 0..12 {
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                let left_out = view().draw(buffer.area, 0, "q quits", &mut buffer);
                let scrolled = view().draw(buffer.area, 2, "q quits", &mut buffer);
                assert!(scrolled <= left_out);
            }
        }
        let mut buffer = Buffer::empty(Rect::new(0, 0, 40, 5));
        assert_eq!(view().draw(buffer.area, 0, "q quits", &mut buffer), 5);
        assert_eq!(view().draw(buffer.area, 9, "q quits", &mut buffer), 0);
    }
}
