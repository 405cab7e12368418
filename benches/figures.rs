//! The product's figures, each as a ratio within one run. `scripts/bench` runs them and writes the
//! report; what they mean: `benches/README.md`.
//!
//! `figures [--quick | --full] [--seconds N] [--out FOLDER] [NAME…]`; `--list` names them.
//!
//! The server is the real one in a process of its own (this binary, started again with `--server`),
//! on a real file; the load generator is this process, on the same machine.

#![expect(clippy::unwrap_used, reason = "a measuring program may stop at any surprise")]

mod figure;
mod peers;
mod support;

use std::path::PathBuf;
use support::plan::Plan;
use support::{pin, server};

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut quick, mut full, mut seconds, mut names) = (false, false, None, Vec::new());
    let mut out = PathBuf::from("target/bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--server" => {
                let port = arguments.next().unwrap().parse().unwrap();
                return server::serve(port, &arguments.next().unwrap());
            }
            "--list" => {
                for (name, _) in figure::ALL {
                    println!("{name}");
                }
                return;
            }
            "--quick" => quick = true,
            "--full" => full = true,
            "--seconds" => seconds = Some(arguments.next().unwrap().parse().unwrap()),
            "--out" => out = PathBuf::from(arguments.next().unwrap()),
            name => names.push(name.to_owned()),
        }
    }
    if let Some(name) = names.iter().find(|name| !figure::ALL.iter().any(|(own, _)| own == name)) {
        eprintln!("there is no figure '{name}'; --list names them");
        std::process::exit(2);
    }
    std::fs::create_dir_all(&out).unwrap();
    let plan = Plan::new(quick, full, seconds, out);
    let about = serde_json::json!({
        "plan": plan.name, "rounds": plan.rounds, "pinned": pin::manner(),
        "round_seconds": plan.time.as_secs_f64(), "sqlite": rusqlite::version(),
    });
    std::fs::write(plan.out.join("run.json"), about.to_string()).unwrap();
    let wanted: Vec<_> = figure::ALL
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
        .collect();
    for (at, (_, run)) in wanted.iter().enumerate() {
        eprint!("\n[{}/{}]", at + 1, wanted.len());
        run(&plan);
    }
}
