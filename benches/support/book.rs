//! What a figure writes down: measurements, verdicts and curves, as JSON for `benches/report.py`.

use super::median;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// One figure.
#[derive(Serialize)]
pub struct Book {
    name: &'static str,
    title: String,
    rows: Vec<Row>,
    tables: Vec<Table>,
    verdicts: Vec<Verdict>,
    plots: Vec<Plot>,
    notes: Vec<String>,
    seconds: f64,
    /// Part of the processors' time that the hypervisor gave to others meanwhile.
    stolen: f64,
    #[serde(skip)]
    started: (Instant, Ticks),
}

/// A measured side.
#[derive(Serialize)]
struct Row {
    label: String,
    unit: &'static str,
    values: Vec<f64>,
}

/// Measurements that are read side by side.
#[derive(Serialize)]
pub struct Table {
    /// What the columns are.
    pub head: Vec<&'static str>,
    /// Each row: its texts, then its numbers.
    pub rows: Vec<(Vec<String>, Vec<f64>)>,
}

/// A target, and the measurement that is held against it.
#[derive(Serialize)]
struct Verdict {
    label: String,
    /// What it is compared to, or empty.
    against: String,
    unit: &'static str,
    values: Vec<f64>,
    target: Target,
}

/// What a median must be.
#[derive(Serialize, Clone, Copy)]
pub struct Target {
    at_least: bool,
    bound: f64,
    stretch: Option<f64>,
}

impl Target {
    /// As much, or more.
    pub const fn at_least(bound: f64) -> Self {
        Self { at_least: true, bound, stretch: None }
    }

    /// As much, or less.
    pub const fn at_most(bound: f64) -> Self {
        Self { at_least: false, bound, stretch: None }
    }

    /// And what nobody expects.
    pub const fn stretch(self, bound: f64) -> Self {
        Self { stretch: Some(bound), ..self }
    }

    fn holds(&self, value: f64) -> bool {
        if self.at_least { value >= self.bound } else { value <= self.bound }
    }
}

/// Curves over one axis.
#[derive(Serialize)]
pub struct Plot {
    /// The name of its file.
    pub file: &'static str,
    /// What it shows.
    pub title: String,
    /// The axis along.
    pub x: &'static str,
    /// The axis up.
    pub y: &'static str,
    /// Bars on top of each other instead of curves.
    pub stacked: bool,
    /// Curves, or the layers of the bars.
    pub lines: Vec<Line>,
}

/// A curve.
#[derive(Serialize)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// Where, and all that was measured there.
    pub points: Vec<(String, Vec<f64>)>,
}

impl Line {
    /// A curve without points.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), points: Vec::new() }
    }
}

impl Book {
    /// Begins a figure.
    pub fn new(name: &'static str, title: impl Into<String>) -> Self {
        let title = title.into();
        eprintln!("\n{name}: {title}");
        Self {
            name,
            title,
            rows: vec![],
            tables: vec![],
            verdicts: vec![],
            plots: vec![],
            notes: vec![],
            seconds: 0.0,
            stolen: 0.0,
            started: (Instant::now(), Ticks::now()),
        }
    }

    /// A measured side: its rounds.
    pub fn row(&mut self, label: impl Into<String>, unit: &'static str, values: &[f64]) {
        let label = label.into();
        eprintln!("  {label:<64} {}", shown(values, unit));
        self.rows.push(Row { label, unit, values: values.to_vec() });
    }

    /// Ratios of rounds (or another measurement) against a target.
    pub fn verdict(
        &mut self,
        label: impl Into<String>,
        against: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        target: Target,
    ) {
        let label = label.into();
        let mark = if target.holds(median(values)) { "holds" } else { "MISSED" };
        let sense = if target.at_least { "at least" } else { "at most" };
        let bound = target.bound;
        eprintln!("  => {label:<61} {} ({sense} {bound}) {mark}", shown(values, unit));
        let against = against.into();
        self.verdicts.push(Verdict { label, against, unit, values: values.to_vec(), target });
    }

    /// Many measurements at once.
    pub fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Curves.
    pub fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// A sentence that the report must say.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("  {note}");
        self.notes.push(note);
    }

    /// Ends the figure, and writes it down.
    pub fn close(mut self, out: &Path) {
        let (started, before) = &self.started;
        self.seconds = started.elapsed().as_secs_f64();
        self.stolen = Ticks::now().stolen_since(before);
        eprintln!("  ({:.0} s, {:.0} % stolen)", self.seconds, self.stolen * 100.0);
        let text = serde_json::to_string_pretty(&self).expect("figures are JSON");
        std::fs::write(out.join(format!("{}.json", self.name)), text).expect("the results' folder");
    }
}

fn shown(values: &[f64], unit: &str) -> String {
    let low = values.iter().copied().fold(f64::MAX, f64::min);
    let high = values.iter().copied().fold(f64::MIN, f64::max);
    let digits = if median(values) < 100.0 { 3 } else { 0 };
    format!("{:>12.digits$} {unit:<10} ({low:.digits$} to {high:.digits$})", median(values))
}

/// The processors' time since the machine started.
struct Ticks {
    all: f64,
    stolen: f64,
}

impl Ticks {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let fields: Vec<f64> =
            first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let eight = &fields[..fields.len().min(8)];
        Self { all: eight.iter().sum(), stolen: eight.get(7).copied().unwrap_or(0.0) }
    }

    fn stolen_since(&self, before: &Self) -> f64 {
        (self.stolen - before.stolen) / (self.all - before.all).max(1.0)
    }
}
