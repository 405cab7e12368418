//! One file per figure, and what they share.

pub mod answer;
pub mod bodies;
pub mod book;
pub mod bystander;
pub mod client;
pub mod data;
pub mod load;
pub mod pin;
pub mod plan;
pub mod process;
pub mod server;

/// The median of some measurements.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    f64::midpoint(sorted[low], sorted[high])
}

/// The value that this part of sorted measurements stay below.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

/// One side by the other, round by round.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}
