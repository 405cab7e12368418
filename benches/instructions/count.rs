//! Counting: this program again, under valgrind.

use super::benches::Bench;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a process said and how many instructions it took.
struct Counted {
    instructions: u64,
    said: String,
}

/// Instructions per unit of each bench, and the processor's features that the program saw.
pub fn all(benches: &[&Bench], folder: &Path) -> Result<(Vec<f64>, String), String> {
    // One and two times N of each, shared among the processors: they do not disturb each other.
    let (next, results) = (AtomicUsize::new(0), Mutex::new(vec![None; benches.len() * 2]));
    let features = Mutex::new(String::new());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bench) = benches.get(job / 2) else { return };
                    let counted = count(bench, bench.times * (1 + job % 2), folder);
                    let counted = counted.map(|Counted { instructions, said }| {
                        *features.lock().unwrap() = said;
                        instructions
                    });
                    results.lock().unwrap()[job] = Some(counted);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let results: Result<Vec<u64>, String> = results.into_iter().map(Option::unwrap).collect();
    let counts = results?
        .chunks(2)
        .zip(benches)
        .map(|(pair, bench)| (pair[1] as f64 - pair[0] as f64) / (bench.times * bench.units) as f64)
        .collect();
    Ok((counts, features.into_inner().unwrap()))
}

fn count(bench: &Bench, times: usize, folder: &Path) -> Result<Counted, String> {
    let output = folder.join(format!("{}-{times}.callgrind", bench.name.replace('/', "-")));
    let (times, of) = (times.to_string(), (bench.times * 2).to_string());
    let output_option = format!("--callgrind-out-file={}", output.display());
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", &output_option])
        .arg(program)
        .args(["--measured", bench.name, &times, &of])
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let (said, log) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    // "==123== Collected : 4711": all events of all threads.
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let instructions = collected.and_then(|(_, count)| count.trim().parse().ok());
    match instructions {
        Some(instructions) if run.status.success() => {
            Ok(Counted { instructions, said: said.trim().to_owned() })
        }
        _ => Err(format!("{} under valgrind ({}):\n{log}", bench.name, run.status)),
    }
}
