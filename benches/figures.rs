//! The product's figures, each as a ratio within one run. `cargo bench` runs all of them,
//! `cargo bench -- ingest status` some. What they mean and what was measured: `benches/README.md`.
//!
//! The server is the real one in a process of its own (this binary, started again with `--server`),
//! on a real file; the load generator is this process, on the same machine.

#![expect(clippy::unwrap_used, reason = "a measuring program may stop at any surprise")]

mod support;

use support::{data, export, history, ingest, proofs, review, scrape, server, size, start, status};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "--server") {
        server::serve(args[1].parse().unwrap(), &args[2]);
        return;
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    println!("{}", data::machine());
    if wanted("size") {
        size::run();
    }
    if wanted("ingest") {
        ingest::run();
    }
    if wanted("status") {
        status::run();
    }
    if wanted("history") {
        history::run();
    }
    if wanted("export") {
        export::run();
    }
    if wanted("review") {
        review::run();
    }
    if wanted("proofs") {
        proofs::run();
    }
    if wanted("scrape") {
        scrape::run();
    }
    if wanted("start") {
        start::run();
    }
}
