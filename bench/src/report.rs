//! Medians, ratios of pairs, and how they are shown.

use serde_json::{Value, json};

/// Figures of one thing over all runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// Adds a run.
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Run by run, this over the other.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }
}

/// All lines of a report.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Line>, Vec<(String, String)>);

#[derive(Debug)]
struct Line {
    what: &'static str,
    unit: &'static str,
    goal: &'static str,
    series: Series,
}

impl Report {
    /// A figure without a goal: what a ratio was made of.
    pub(crate) fn figure(&mut self, what: &'static str, unit: &'static str, series: &Series) {
        self.goal(what, unit, "", series);
    }

    /// A figure with a goal.
    pub(crate) fn goal(
        &mut self,
        what: &'static str,
        unit: &'static str,
        goal: &'static str,
        series: &Series,
    ) {
        self.0.push(Line {
            what,
            unit,
            goal,
            series: series.clone(),
        });
    }

    /// What is no figure, such as a plan.
    pub(crate) fn note(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.1.push((what.into(), text.into()));
    }

    /// As Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text =
            "| what | unit | median | min..max | runs | goal |\n|---|---|---|---|---|---|\n"
                .to_owned();
        for Line {
            what,
            unit,
            goal,
            series,
        } in &self.0
        {
            let sorted = series.sorted();
            let (min, max) = (
                sorted.first().copied().unwrap_or(f64::NAN),
                sorted.last().copied().unwrap_or(f64::NAN),
            );
            let row = format!(
                "| {what} | {unit} | **{}** | {}..{} | {} | {goal} |\n",
                shown(series.median()),
                shown(min),
                shown(max),
                sorted.len(),
            );
            text.push_str(&row);
        }
        for (what, note) in &self.1 {
            text.push_str(&format!("\n{what}:\n\n```\n{}\n```\n", note.trim()));
        }
        text
    }

    /// For programs: every run.
    pub(crate) fn json(&self) -> Value {
        self.0
            .iter()
            .map(|line| {
                json!({
                    "what": line.what,
                    "unit": line.unit,
                    "goal": line.goal,
                    "median": line.series.median(),
                    "runs": line.series.0,
                })
            })
            .chain(
                self.1
                    .iter()
                    .map(|(what, note)| json!({ "what": what, "note": note })),
            )
            .collect()
    }
}

/// Three digits that matter.
fn shown(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        middle if middle >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.3}"),
    }
}
