//! Instructions per report, page, row and review, counted by valgrind: figures that a busy machine does not
//! move. `scripts/instructions` runs this; `benches/instructions.md` says what the figures are.
//!
//! Each bench runs in a process of its own, once with N and once with 2 N iterations; the difference is
//! N iterations without set-up, in all threads of the process.

#![expect(clippy::unwrap_used, reason = "a measuring program may stop at any surprise")]

#[path = "instructions/benches.rs"]
mod benches;
#[path = "instructions/count.rs"]
mod count;
#[path = "instructions/data.rs"]
mod data;
#[path = "instructions/figures.rs"]
mod figures;
#[path = "instructions/recorder.rs"]
mod recorder;

use benches::{BENCHES, Bench, Work};
use figures::{Figures, Tools};
use std::path::Path;
use std::process::ExitCode;

/// Percent that a guarded figure may differ from the committed one.
const TOLERANCE: f64 = 10.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--measured", name, times, of, folder] = words[..] {
        let bench = BENCHES.iter().find(|bench| bench.name == name).unwrap();
        let (times, of) = (times.parse().unwrap(), of.parse().unwrap());
        (bench.run)(&Work { times, of, folder: Path::new(folder) });
        println!("{}", figures::features());
        return ExitCode::SUCCESS;
    }
    match measure(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\nscripts/instructions: FAILED: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[&str]) -> Result<(), String> {
    let (options, names): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with("--"));
    let (check, bless) = match options[..] {
        [] => (false, false),
        ["--check"] => (true, false),
        ["--bless"] => (false, true),
        _ => return Err("it takes --check or --bless, and names of benches".into()),
    };
    let known: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no '{name}'; there are {}", known.join(", ")));
    }
    let wanted: Vec<&Bench> =
        BENCHES.iter().filter(|bench| names.is_empty() || names.contains(&bench.name)).collect();
    let folder = data::folder();
    let (counts, features) = count::all(&wanted, folder.path())?;
    let mut committed = Figures::committed()?;
    let tools = Tools::here(features);
    print!("{}", figures::table(&wanted, &counts, &committed));
    if bless {
        committed.tools = tools;
        for (bench, count) in wanted.iter().zip(counts) {
            committed.instructions.insert(bench.name.to_owned(), count.round() as u64);
        }
        return committed.write();
    }
    if !check {
        return Ok(());
    }
    if let Some(difference) = committed.tools.difference(&tools) {
        println!(
            "\nNOT COMPARED: the committed figures are of {difference}. Compare by hand, and bless them with \
             scripts/instructions --bless if these are the tools from now on."
        );
        return Ok(());
    }
    figures::judge(&wanted, &counts, &committed)
}
