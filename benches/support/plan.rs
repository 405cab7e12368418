//! How long everything is measured, and on how much.

use std::path::PathBuf;
use std::time::Duration;

/// The extent of a run.
pub struct Plan {
    /// Its name, for the report.
    pub name: &'static str,
    /// Rounds of most figures; the sides take turns in each.
    pub rounds: usize,
    /// How long a load runs in each round.
    pub time: Duration,
    /// How long something hostile goes on beside others; the quiet before it is half as long.
    pub stretch: Duration,
    /// Rows of the databases for whatever must not depend on them.
    pub sizes: Vec<usize>,
    /// Rows of the database that "large" means.
    pub large: usize,
    /// Rows of the database that is exported and verified, and of the one that is weighed.
    pub middle: usize,
    /// Where results go.
    pub out: PathBuf,
}

impl Plan {
    /// The plan that the options ask for; `seconds`: another length of hostile stretches.
    pub fn new(quick: bool, full: bool, seconds: Option<u64>, out: PathBuf) -> Self {
        let (small, middle, large) = (100_000, 1_000_000, 10_000_000);
        let mut plan = if quick {
            let (time, stretch) = (Duration::from_millis(500), Duration::from_secs(5));
            let (sizes, large, middle) = (vec![small, middle], middle, small);
            Self { name: "quick", rounds: 3, time, stretch, sizes, large, middle, out }
        } else {
            let (time, stretch) = (Duration::from_secs(2), Duration::from_secs(20));
            let sizes = vec![small, middle, large];
            Self { name: "whole", rounds: 7, time, stretch, sizes, large, middle, out }
        };
        if let Some(seconds) = seconds {
            plan.stretch = Duration::from_secs(seconds);
        }
        if full {
            plan.sizes.push(full_rows());
            plan.name = "full";
        }
        plan
    }
}

/// Rows that `--full` adds; fewer for a try.
fn full_rows() -> usize {
    std::env::var("BENCH_FULL_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(100_000_000)
}

/// A number of rows as people write it: 10⁵ … 10⁸, or in full.
pub fn power(rows: usize) -> String {
    match rows {
        100_000 => "10⁵".to_owned(),
        1_000_000 => "10⁶".to_owned(),
        10_000_000 => "10⁷".to_owned(),
        100_000_000 => "10⁸".to_owned(),
        _ => rows.to_string(),
    }
}
