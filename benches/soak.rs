//! A season in an hour: 1,000 hosts report every two minutes, drift, fall silent, report late and are deployed,
//! people and Prometheus read, as fast as the server answers. Nothing may grow but the history.
//! `scripts/soak` runs this; `benches/soak.md` has what came out.
//!
//! The server is the real one in a process of its own (this binary, started again with `--server`), on a real
//! file. Its clock is the player's.

#![expect(clippy::unwrap_used, reason = "a measuring program may stop at any surprise")]

#[path = "soak/checks.rs"]
mod checks;
#[path = "soak/client.rs"]
mod client;
#[path = "soak/host.rs"]
mod host;
#[path = "soak/player.rs"]
mod player;
#[path = "soak/readers.rs"]
mod readers;
#[path = "soak/samples.rs"]
mod samples;
#[path = "soak/season.rs"]
mod season;
#[path = "soak/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Days of the season.
    pub days: f64,
    /// Within so much time.
    pub within: Duration,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--server", port, database] = words[..] {
        server::serve(port.parse().unwrap(), database);
        return ExitCode::SUCCESS;
    }
    match plan(&words).and_then(|plan| soak(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\nscripts/soak: FAILED: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn plan(words: &[&str]) -> Result<Plan, String> {
    let (mut days, mut minutes) = (30.0, 60.0);
    for pair in words.chunks(2) {
        let number = pair.get(1).and_then(|text| text.parse::<f64>().ok());
        match (pair[0], number.filter(|number| *number > 0.0)) {
            ("--days", Some(number)) => days = number,
            ("--minutes", Some(number)) => minutes = number,
            _ => return Err("it takes --minutes M and --days D".into()),
        }
    }
    Ok(Plan { days, within: Duration::from_secs_f64(minutes * 60.0) })
}

/// Plays, checks, and writes down what was seen.
fn soak(plan: &Plan) -> Result<(), String> {
    let folder = folder();
    let database = folder.join("season.db");
    let season = player::play(plan, &database);
    let checks = checks::all(plan, &season, &database);
    let text = serde_json::to_string_pretty(&checks::record(plan, &season, &checks)).unwrap();
    std::fs::write(folder.join("season.json"), text).unwrap();
    for check in &checks {
        println!("{check}");
    }
    season::remove(&database);
    let failed: Vec<&str> =
        checks.iter().filter(|check| !check.holds).map(|check| check.name.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Where the database of a run is, and what is known of the last one.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/soak");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
