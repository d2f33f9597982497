//! Pictures of results, as SVG.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use serde_json::Value;

use crate::report::Curve;

/// Pixels.
const SIZE: (u32, u32) = (640, 360);
const BAR: u32 = 24;
const FONT: &str = "sans-serif";
/// Told apart by people with any eyes (Okabe and Ito).
const REACHED: RGBColor = RGBColor(0, 114, 178);
const MISSED: RGBColor = RGBColor(213, 94, 0);
const PALE: RGBColor = RGBColor(150, 150, 150);

/// A figure beside its goal.
pub(crate) struct Goal {
    what: String,
    /// How far the goal is reached, from 0 to [`MOST`]: 1 is just there, more is better.
    reached: f64,
}

const MOST: f64 = 3.0;

impl Goal {
    /// Of a saved figure, if it has a goal such as `>= 0.85`.
    pub(crate) fn of(figure: &Value) -> Option<Self> {
        let (goal, median) = (figure["goal"].as_str()?, figure["median"].as_f64()?);
        let (relation, bound) = goal.split_once(' ')?;
        let bound: f64 = bound.parse().ok()?;
        let reached = match relation {
            ">=" => median / bound,
            // A difference that is less than nothing.
            "<=" if median <= 0.0 => MOST,
            "<=" => bound / median,
            _ => return None,
        };
        let what = figure["what"].as_str()?;
        let unit = match figure["unit"].as_str()? {
            "ratio" => "",
            unit => unit,
        };
        let what = format!("{what}: {median:.3} {unit} (goal {goal})");
        let reached = reached.clamp(0.0, MOST);
        Some(Self { what, reached })
    }
}

/// The medians over the sizes, on a logarithmic axis, with a bar from the least to the greatest run.
pub(crate) fn curve(file: &Path, curve: &Curve) -> Result<()> {
    // A logarithm has no place for none.
    let points = curve.points().map(|(size, runs)| (size.max(1), runs));
    let points: Vec<_> = points.collect();
    let sizes = || points.iter().map(|(size, _)| *size);
    let (from, to) = sizes().min().zip(sizes().max()).context("no point")?;
    let top = points
        .iter()
        .map(|(_, [_, _, most])| *most)
        .fold(0.0, f64::max);
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let (x, y) = curve.axes();
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        // For the last label of the axis.
        .margin_right(40)
        .caption(&y, (FONT, 16))
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((from..to.max(from + 1)).log_scale(), 0.0..top * 1.15)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(x)
        .label_style((FONT, 12))
        .draw()
        .map_err(failed)?;
    let medians = points.iter().map(|(size, [_, median, _])| (*size, *median));
    let line = LineSeries::new(medians, REACHED.stroke_width(2)).point_size(4);
    chart.draw_series(line).map_err(failed)?;
    let spans = points
        .iter()
        .map(|(size, [least, _, most])| PathElement::new([(*size, *least), (*size, *most)], PALE));
    chart.draw_series(spans).map_err(failed)?;
    area.present().map_err(failed)
}

/// A bar for each goal: those that reach the line are met.
pub(crate) fn goals(file: &Path, goals: &[Goal]) -> Result<()> {
    let count = u32::try_from(goals.len())?;
    if count == 0 {
        return Ok(());
    }
    let size = (960, BAR * count + 70);
    let area = SVGBackend::new(file, size).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let rows = f64::from(count);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption("goals: 1 is reached, more is better (cut at 3)", (FONT, 16))
        .x_label_area_size(24)
        .build_cartesian_2d(0.0..MOST, 0.0..rows)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(failed)?;
    for (row, goal) in (0..count).rev().zip(goals) {
        let bottom = f64::from(row);
        let color = if goal.reached >= 1.0 { REACHED } else { MISSED };
        let corners = [(0.0, bottom + 0.1), (goal.reached, bottom + 0.9)];
        let bar = Rectangle::new(corners, color.mix(0.35).filled());
        let text = Text::new(goal.what.clone(), (0.01, bottom + 0.7), (FONT, 13));
        chart.draw_series([bar]).map_err(failed)?;
        chart.draw_series([text]).map_err(failed)?;
    }
    let line = PathElement::new([(1.0, 0.0), (1.0, rows)], BLACK);
    chart.draw_series([line]).map_err(failed)?;
    area.present().map_err(failed)
}

/// The library's errors borrow what they are about.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
