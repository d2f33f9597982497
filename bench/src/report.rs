//! Medians, ratios of pairs, curves, and how they are shown.

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

/// How a figure changes with the size of something.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// What is measured, and its unit.
    what: &'static str,
    unit: &'static str,
    /// What grows.
    over: &'static str,
    points: Vec<(u32, Series)>,
}

impl Curve {
    /// Nothing measured yet.
    pub(crate) const fn new(what: &'static str, unit: &'static str, over: &'static str) -> Self {
        Self {
            what,
            unit,
            over,
            points: Vec::new(),
        }
    }

    /// Adds a run at `size`.
    pub(crate) fn push(&mut self, size: u32, figure: f64) {
        if let Some((_, series)) = self.points.iter_mut().find(|(at, _)| *at == size) {
            series.push(figure);
        } else {
            self.points.push((size, Series(vec![figure])));
        }
    }

    /// What is measured.
    pub(crate) const fn what(&self) -> &'static str {
        self.what
    }

    /// Names of the axes: what grows, and what is measured with its unit.
    pub(crate) fn axes(&self) -> (&'static str, String) {
        (self.over, format!("{}, {}", self.what, self.unit))
    }

    /// Size; least, median and greatest of its runs.
    pub(crate) fn points(&self) -> impl Iterator<Item = (u32, [f64; 3])> {
        self.points.iter().map(|(size, series)| {
            let sorted = series.sorted();
            let end = |figure: Option<&f64>| figure.copied().unwrap_or(f64::NAN);
            let ends = (end(sorted.first()), end(sorted.last()));
            (*size, [ends.0, series.median(), ends.1])
        })
    }

    /// At the largest size over the smallest, run by run.
    pub(crate) fn growth(&self) -> Series {
        let at = |point: Option<&(u32, Series)>| point.map(|(_, series)| series.clone());
        let small = at(self.points.iter().min_by_key(|(size, _)| size)).unwrap_or_default();
        let large = at(self.points.iter().max_by_key(|(size, _)| size)).unwrap_or_default();
        large.over(&small)
    }
}

/// What one measurement found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    curves: Vec<Curve>,
    notes: Vec<(String, String)>,
}

#[derive(Debug)]
struct Line {
    what: String,
    unit: &'static str,
    goal: &'static str,
    series: Series,
}

impl Line {
    fn row(&self) -> String {
        let sorted = self.series.sorted();
        let end = |figure: Option<&f64>| shown(figure.copied().unwrap_or(f64::NAN));
        format!(
            "| {} | {} | **{}** | {}..{} | {} | {} |\n",
            self.what,
            self.unit,
            shown(self.series.median()),
            end(sorted.first()),
            end(sorted.last()),
            sorted.len(),
            self.goal,
        )
    }
}

impl Report {
    /// A figure without a goal: what a ratio was made of.
    pub(crate) fn figure(&mut self, what: impl Into<String>, unit: &'static str, series: &Series) {
        self.goal(what, unit, "", series);
    }

    /// A figure with a goal.
    pub(crate) fn goal(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        goal: &'static str,
        series: &Series,
    ) {
        self.lines.push(Line {
            what: what.into(),
            unit,
            goal,
            series: series.clone(),
        });
    }

    /// Figures of several sizes, each a line too.
    pub(crate) fn curve(&mut self, curve: Curve) {
        for (size, series) in &curve.points {
            let what = format!("{}, {size} {}", curve.what, curve.over);
            self.figure(what, curve.unit, series);
        }
        self.curves.push(curve);
    }

    /// All curves.
    pub(crate) fn curves(&self) -> &[Curve] {
        &self.curves
    }

    /// What is no figure, such as a plan.
    pub(crate) fn note(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.notes.push((what.into(), text.into()));
    }

    /// As Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text =
            "| what | unit | median | min..max | runs | goal |\n|---|---|---|---|---|---|\n"
                .to_owned();
        text.extend(self.lines.iter().map(Line::row));
        for (what, note) in &self.notes {
            let note = format!("\n{what}:\n\n```\n{}\n```\n", note.trim());
            text.push_str(&note);
        }
        text
    }

    /// For programs: every run.
    pub(crate) fn json(&self, measurement: &str) -> Value {
        let figures = self.lines.iter().map(|line| {
            json!({
                "what": line.what,
                "unit": line.unit,
                "goal": line.goal,
                "median": line.series.median(),
                "runs": line.series.0,
            })
        });
        let curves = self.curves.iter().map(|curve| {
            let points = curve.points.iter().map(|(size, series)| {
                json!({ "size": size, "median": series.median(), "runs": series.0 })
            });
            json!({
                "what": curve.what,
                "unit": curve.unit,
                "over": curve.over,
                "points": points.collect::<Value>(),
            })
        });
        let notes = self
            .notes
            .iter()
            .map(|(what, text)| json!({ "what": what, "text": text }));
        json!({
            "measurement": measurement,
            "figures": figures.collect::<Value>(),
            "curves": curves.collect::<Value>(),
            "notes": notes.collect::<Value>(),
        })
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
