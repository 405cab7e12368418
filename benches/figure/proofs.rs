//! What trust costs: `verify` of a whole history, checkpoints, and proofs out of a large one.

use crate::support::book::{Book, Target};
use crate::support::load::{Load, get};
use crate::support::plan::{Plan, power};
use crate::support::process::timed;
use crate::support::{data, median, server};

/// The path of the n-th request, in a history of so many rows.
type Path = fn(u64, u64) -> String;

pub fn run(plan: &Plan) {
    let rows = power(plan.middle);
    let mut book = Book::new("proofs", format!("verify of {rows} rows, whole process; proofs"));
    let path = data::quarter(plan.middle);
    let folder = data::scratch();
    let forms: [(&str, &[&str]); 3] = [
        ("file, tree and projections", &["verify"]),
        ("the tree alone", &["verify", "--tree"]),
        ("the projections alone", &["verify", "--refold"]),
    ];
    let mut rates = vec![vec![]; forms.len()];
    let mut memory = vec![];
    for _ in 0..plan.rounds {
        for ((_, form), rates) in forms.iter().zip(&mut rates) {
            let (time, peak) =
                timed(&mut server::command(form, &path), &folder.path().join("said"));
            rates.push(plan.middle as f64 / time);
            memory.push(peak);
        }
    }
    for ((name, _), rates) in forms.iter().zip(&rates) {
        book.row(format!("verify: {name}"), "rows/s", rates);
    }
    book.row("peak memory of verify", "MiB", &memory);
    let label = format!("verify, {rows} rows: file, tree and projections");
    book.verdict(label, "", "rows/s", &rates[0], Target::at_least(300_000.0));
    let server = server::start(&data::quarter(plan.large));
    let size = plan.large as u64;
    // Sizes of no power of two: their right edge is made of many parts.
    let asked: [(&str, Path); 3] = [
        ("GET /checkpoint", |_, _| "/checkpoint".to_owned()),
        ("GET /proof/{id}", |n, size| format!("/proof/{}", 1 + n * 7919 % size)),
        ("GET /proof?from_size=&to_size=", |n, size| {
            format!("/proof?from_size={}&to_size={}", 1 + n * 7919 % (size - 1), size - 1)
        }),
    ];
    for (name, path) in asked {
        let load = Load::new(server.port, 1, plan.time / 3);
        let ask = || median(&load.run(|n, out| get(&path(n, size), out)).latencies);
        let medians: Vec<f64> = (0..plan.rounds).map(|_| ask()).collect();
        book.row(format!("{name}, {} rows, one connection", power(plan.large)), "µs", &medians);
    }
    server.stop();
    book.close(&plan.out);
}
