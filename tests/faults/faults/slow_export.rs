//! A client begins to read a long stream and takes its time. Meanwhile the history grows by far more than
//! SQLite's log may: the log is folded back all the same, and the stream shows what was there when it began.

use crate::audit::{after_fault, lines};
use crate::ledger::Ledger;
use crate::load::{bulky, send};
use crate::run::{Outcome, Run, ensure};
use crate::server::{Server, wal};

/// Bytes of a report, and reports of a request: a body of just under 1 MiB.
const MESSAGE_BYTES: usize = 60_000;
const REPORTS: u64 = 15;
/// Enough for a stream that no socket's buffers hold: 20 MB or more.
const REQUESTS_BEFORE: usize = 25;
/// The log is folded back at 32 MiB, and a body is 1 MiB.
const WAL_MAX_BYTES: u64 = 40 << 20;

pub fn run(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let mut writer = server.connection();
    for _ in 0..REQUESTS_BEFORE {
        send(&mut writer, &ledger, &bulky(&ledger, REPORTS, MESSAGE_BYTES));
    }
    let begun_with = ledger.stored();
    let mut reader = server.connection();
    reader.send(b"GET /history?format=ndjson&sort=id HTTP/1.1\r\nHost: faults\r\n\r\n")?;
    let mut grown = 0;
    for _ in 0..run.rounds(70, 1000) {
        send(&mut writer, &ledger, &bulky(&ledger, REPORTS, MESSAGE_BYTES));
        grown = grown.max(std::fs::metadata(wal(&folder)).map_or(0, |file| file.len()));
    }
    ensure!(grown < WAL_MAX_BYTES, "the log grew to {} MiB while a client read", grown >> 20);
    let stream = reader.answer()?.text();
    let rows = stream.lines().count();
    ensure!(rows == begun_with, "the stream has {rows} rows of {begun_with}");
    let now = lines(&server)?;
    ensure!(stream.lines().eq(now.iter().take(rows)), "the stream is not the history");
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    Ok(format!(
        "{rows} rows read, {} written meanwhile, the log at most {} MiB",
        now.len() - rows,
        grown >> 20
    ))
}
