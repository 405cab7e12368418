//! One file per figure, and what they share.

pub mod data;
pub mod export;
pub mod history;
pub mod ingest;
pub mod load;
pub mod proofs;
pub mod review;
pub mod scrape;
pub mod server;
pub mod size;
pub mod start;
pub mod status;

/// The median of some measurements.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A table row: a name, the median, and the smallest and largest measurement.
pub fn row(name: &str, unit: &str, values: &[f64]) {
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    println!("  {name:<52} {:>12.2} {unit:<10} ({low:.2} to {high:.2})", median(values));
}

/// A verdict: the figure, what it must be, and whether it is.
pub fn verdict(name: &str, value: f64, holds: bool, target: &str) {
    let mark = if holds { "holds" } else { "MISSED" };
    println!("  => {name}: {value:.2} (target {target}): {mark}");
}
