//! Bytes on disk of a repeated cron report, everything included.

use super::{data, verdict};

pub fn run() {
    const REPORTS: usize = 1_000_000;
    println!("\nsize: {REPORTS} reports over {} hosts", data::HOSTS);
    let folder = data::scratch();
    let path = folder.path().join("size.db");
    // One report per host first, so that only repetition is counted.
    data::fill(&path, data::HOSTS, false);
    let bytes = || -> u64 {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let before = bytes();
    std::fs::remove_file(&path).unwrap();
    data::fill(&path, data::HOSTS + REPORTS, false);
    let each = (bytes() - before) as f64 / REPORTS as f64;
    verdict("bytes per repeated report", each, each <= 100.0, "at most 100");
}
