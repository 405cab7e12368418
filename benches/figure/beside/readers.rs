//! Readers of a long answer that do not read.

use super::Beside;
use crate::figure::growth::copy_of;
use crate::support::book::Target;
use crate::support::client::connect;
use crate::support::{load, server};
use std::io::Write;
use std::time::Instant;

const READERS: usize = 200;
/// Rows that they ask for.
const ROWS: usize = 100_000;

pub fn run(beside: &mut Beside) {
    let name = "200 readers of /history?format=ndjson that do not read";
    let server = server::start_logged(&copy_of(ROWS, &beside.folder));
    let idle = server.memory("VmRSS");
    let (_, mut streams) = beside.stretches(name, &server, &[], |end| {
        let mut request = Vec::new();
        load::get("/history?format=ndjson", &mut request);
        let streams: Vec<_> = (0..READERS)
            .map(|_| {
                let mut stream = connect(server.port);
                stream.write_all(&request).unwrap();
                stream
            })
            .collect();
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        streams
    });
    let peak = server.memory("VmHWM");
    streams.clear();
    server.stop();
    beside.book.row(format!("{name}: memory before"), "MiB", &[idle]);
    let label = format!("{name}: highest memory above idle");
    beside.book.verdict(label, "", "MiB", &[peak - idle], Target::at_most(64.0));
}
