//! What is looked at every few seconds: the process, its files, and how long answers took.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Latencies in milliseconds, by what was asked.
#[derive(Debug, Default)]
pub struct Times(BTreeMap<&'static str, Vec<f64>>);

impl Times {
    /// Adds some.
    pub fn add(&mut self, name: &'static str, latencies: &[f64]) {
        self.0.entry(name).or_default().extend(latencies);
    }

    fn percentiles(self) -> BTreeMap<&'static str, [f64; 2]> {
        let percentiles = self.0.into_iter().filter(|(_, times)| !times.is_empty());
        percentiles
            .map(|(name, mut times)| {
                times.sort_by(f64::total_cmp);
                let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
                (name, [at(0.5), at(0.99)])
            })
            .collect()
    }
}

/// One look.
#[derive(Debug)]
pub struct Sample {
    /// Seconds since the start.
    pub at: f64,
    /// Days of the season.
    pub days: f64,
    /// Reports acknowledged so far.
    pub reports: u64,
    /// Reports per second since the last sample.
    pub rate: f64,
    /// Hosts that are synced, out of sync, failed, stale.
    pub summary: [u64; 4],
    /// Memory in MiB: all of it that is resident, the most so far, and what belongs to no file.
    pub memory: [f64; 3],
    /// Bytes of the database file.
    pub database: u64,
    /// Bytes of SQLite's log.
    pub log: u64,
    /// Open files and sockets.
    pub handles: usize,
    /// Threads.
    pub threads: f64,
    /// The median and the 99th percentile in milliseconds since the last sample, by what was asked.
    pub times: BTreeMap<&'static str, [f64; 2]>,
}

impl Sample {
    /// For the record.
    pub fn json(&self) -> Value {
        json!({
            "at": self.at, "days": self.days, "reports": self.reports, "rate": self.rate,
            "summary": self.summary, "memory": self.memory, "database": self.database,
            "log": self.log, "handles": self.handles, "threads": self.threads, "times": self.times,
        })
    }
}

/// The process and the files that are looked at.
#[derive(Debug)]
pub struct Watch {
    process: PathBuf,
    database: PathBuf,
    log: PathBuf,
}

impl Watch {
    /// A server and its database.
    pub fn new(process: u32, database: &Path) -> Self {
        let log = PathBuf::from(format!("{}-wal", database.display()));
        Self { process: format!("/proc/{process}").into(), database: database.into(), log }
    }

    /// Looks.
    pub fn look(
        &self,
        at: f64,
        days: f64,
        reports: u64,
        rate: f64,
        summary: [u64; 4],
        times: Times,
    ) -> Sample {
        let status = std::fs::read_to_string(self.process.join("status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let digits = line.unwrap_or_default().trim_start_matches(':').trim();
            digits.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0)
        };
        let memory = ["VmRSS", "VmHWM", "RssAnon"].map(|name| number(name) / 1024.0);
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let handles = std::fs::read_dir(self.process.join("fd")).map_or(0, Iterator::count);
        let (database, log, threads) = (size(&self.database), size(&self.log), number("Threads"));
        let times = times.percentiles();
        Sample { at, days, reports, rate, summary, memory, database, log, handles, threads, times }
    }
}
