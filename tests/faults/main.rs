//! The fault suite: the real server, under everything that may happen to it, against a ledger of what its
//! clients know. See `README.md`; `scripts/faults` runs it.
//!
//! Without `FAULTS_BINARY`, as `cargo test` starts it, it only checks itself: that every planted bug still fits
//! the sources, and that the README lists what there is.
#![expect(clippy::unwrap_used, reason = "a test that meets None or Err has failed")]

mod audit;
mod disk;
mod faults;
mod http;
mod ledger;
mod load;
mod mounts;
mod planted;
mod planting;
mod run;
mod seeds;
mod server;
mod shim;

use faults::{FAULTS, Fault};
use planted::{PLANTED, Planted};
use run::{Failure, Outcome, Run, ensure};
use seeds::Seeds;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// What was asked for.
struct Asked {
    short: bool,
    planted: bool,
    seed: u64,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let outcome = match std::env::var_os("FAULTS_BINARY") {
        None => check_itself(root),
        Some(binary) => understand(std::env::args().skip(1))
            .and_then(|asked| asked.map_or(Ok(true), |asked| run_all(&asked, root, binary.into()))),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("faults: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: there is nothing to run, the list was asked for.
fn understand(arguments: impl Iterator<Item = String>) -> Result<Option<Asked>, Failure> {
    let seed = std::hash::RandomState::new().build_hasher().finish() % 1_000_000;
    let mut asked = Asked { short: false, planted: false, seed, names: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => {
                print!("{}\n{}", table_of_faults(), table_of_bugs());
                return Ok(None);
            }
            "--short" => asked.short = true,
            "--planted" => asked.planted = true,
            "--seed" => {
                let seed = arguments.next().and_then(|seed| seed.parse().ok());
                asked.seed = seed.ok_or("--seed takes a number")?;
            }
            name => {
                let known = if asked.planted {
                    planting::find(name).is_ok()
                } else {
                    faults::find(name).is_some()
                };
                ensure!(known, "there is no '{name}'; see scripts/faults --list");
                asked.names.push(name.to_owned());
            }
        }
    }
    Ok(Some(asked))
}

/// Runs what was asked for; whether all of it passed.
fn run_all(asked: &Asked, root: &Path, binary: PathBuf) -> Result<bool, Failure> {
    println!("seed {}", asked.seed);
    let run = Run::new(binary, root.to_owned(), asked.short, asked.seed)?;
    let wanted = |name: &str| asked.names.is_empty() || asked.names.iter().any(|n| n == name);
    let (mut passed, mut failed) = (0, Vec::new());
    let mut note = |name: &'static str, seed: u64, happening: &dyn Fn() -> Outcome| {
        // Each begins with the seed, so that it makes the same choices alone and among others.
        run.begin(seed);
        let ok = pass(name, seed, happening);
        if ok {
            passed += 1;
        } else {
            failed.push(name);
        }
        ok
    };
    if asked.planted {
        for planted in PLANTED.iter().filter(|planted| wanted(planted.name)) {
            note(planted.name, asked.seed, &|| find_planted(&run, planted));
        }
    } else {
        let part = |fault: &&Fault| !asked.short || fault.short || !asked.names.is_empty();
        let seeds = Seeds::of(root);
        for fault in FAULTS.iter().filter(|fault| wanted(fault.name)).filter(part) {
            let mut kept = seeds.kept(fault.name)?;
            kept.retain(|seed| *seed != asked.seed);
            for seed in kept.into_iter().chain([asked.seed]) {
                if !note(fault.name, seed, &|| (fault.run)(&run)) {
                    seeds.keep(fault.name, seed)?;
                }
            }
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("faults: {passed} passed, {} failed", failed.len());
    Ok(failed.is_empty())
}

/// Runs one and says what came of it, on a line.
fn pass(name: &str, seed: u64, happening: &dyn Fn() -> Outcome) -> bool {
    let begun = Instant::now();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(happening));
    let outcome = caught.unwrap_or_else(|_| Err("it panicked".into()));
    let seconds = begun.elapsed().as_secs_f64();
    match outcome {
        Ok(said) => {
            println!("{name:<30} ok      {seconds:6.1} s  {said}");
            true
        }
        Err(failure) => {
            println!("{name:<30} FAILED  {seconds:6.1} s  {} (--seed {seed})", shown(&failure));
            false
        }
    }
}

/// Plants a bug; its fault must fail, for the right reason.
fn find_planted(run: &Run, planted: &Planted) -> Outcome {
    let binary = planting::build(run, planted)?;
    let fault = faults::find(planted.found_by).ok_or("no such fault")?;
    match (fault.run)(&run.planted(binary)?) {
        Ok(said) => Err(format!("{} does not find it: {said}", fault.name).into()),
        Err(found) if planted.explains(&found.to_string()) => {
            Ok(format!("found by {}: {}", fault.name, shown(&found)))
        }
        Err(other) => Err(format!("{} fails for another reason: {other}", fault.name).into()),
    }
}

/// A failure in few words: it may quote whole lines of the history.
fn shown(failure: &Failure) -> String {
    const SHOWN: usize = 700;
    let text = failure.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn table_of_faults() -> String {
    let mut table = "| fault | what happens | in the short run |\n|---|---|---|\n".to_owned();
    for Fault { name, says, short, .. } in FAULTS {
        let _ = writeln!(table, "| `{name}` | {says} | {} |", if *short { "yes" } else { "no" });
    }
    table
}

fn table_of_bugs() -> String {
    let mut table = "| planted bug | what is wrong | found by |\n|---|---|---|\n".to_owned();
    for Planted { name, says, found_by, .. } in PLANTED {
        let _ = writeln!(table, "| `{name}` | {says} | `{found_by}` |");
    }
    table
}

/// What can be checked in no time.
fn check_itself(root: &Path) -> Result<bool, Failure> {
    let readme = std::fs::read_to_string(root.join("tests/faults/README.md"))?;
    for table in [table_of_faults(), table_of_bugs()] {
        ensure!(readme.contains(&table), "tests/faults/README.md: it should have\n{table}");
    }
    for planted in PLANTED {
        planting::fit(root, planted, |_, _| Ok(()))?;
        ensure!(faults::find(planted.found_by).is_some(), "{}: found by what?", planted.name);
    }
    seeds::check_themselves()?;
    for (name, _) in Seeds::of(root).all()? {
        ensure!(faults::find(&name).is_some(), "a seed is kept of '{name}', which is no fault");
    }
    println!("faults: {} planted bugs fit the sources", PLANTED.len());
    Ok(true)
}
