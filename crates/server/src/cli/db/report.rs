//! What a copy says.

use serde_json::json;
use sso_core::ports::dump::{Table, Tally};

use super::{
    super::{Output, output},
    tally,
};

/// What a copy did.
pub(super) struct Report {
    pub(super) dry_run: bool,
    pub(super) resumed: bool,
    /// As they are on the other side, or, of a dry run, as many as there are here.
    pub(super) tables: Vec<(Table, Tally)>,
    /// What is left to be done.
    pub(super) next: String,
}

impl Report {
    pub(super) fn print(&self, as_output: Output) {
        match as_output {
            Output::Json => output::print_line(&self.json().to_string()),
            Output::Text => self.text(),
        }
    }

    fn json(&self) -> serde_json::Value {
        let tables: Vec<_> = self
            .tables
            .iter()
            .map(|(table, tally)| match self.dry_run {
                true => json!({ "table": table.name(), "rows": tally.rows }),
                false => json!({
                    "table": table.name(), "rows": tally.rows, "digest": tally::hex(tally),
                }),
            })
            .collect();
        json!({ "dry_run": self.dry_run, "resumed": self.resumed, "tables": tables })
    }

    fn text(&self) {
        for (table, tally) in &self.tables {
            let digest = match self.dry_run {
                true => String::new(),
                false => format!("  {}", tally::short(tally)),
            };
            output::print_line(&format!("{:<14} {:>11}{digest}", table.name(), tally.rows));
        }
        output::print_line(&self.next);
    }
}
