//! A client begins to read a long stream and takes its time. Meanwhile the history grows by far more than
//! SQLite's log may: the log is folded back all the same, and the stream shows what was there when it began.

use crate::audit::{after_fault, lines};
use crate::http::read_answer;
use crate::ledger::Ledger;
use crate::load::{bulky, send};
use crate::run::{Failure, Outcome, PATIENCE, Run, ensure};
use crate::server::{Server, wal};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of a report, and reports of a request: a body of just under 1 MiB.
const MESSAGE_BYTES: usize = 60_000;
const REPORTS: u64 = 15;
/// Enough for a stream that no socket's buffers hold: 20 MB or more.
const REQUESTS_BEFORE: usize = 25;
/// The log is folded back at 32 MiB, and a body is 1 MiB.
const WAL_MAX_BYTES: u64 = 40 << 20;
/// What the client reads, and how often: little, but enough not to be taken for dead.
const SIP_BYTES: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(250);

pub fn run(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let mut writer = server.connection();
    for _ in 0..REQUESTS_BEFORE {
        send(&mut writer, &ledger, &bulky(&ledger, REPORTS, MESSAGE_BYTES));
    }
    let (begun_with, hurry) = (ledger.stored(), AtomicBool::new(false));
    let mut grown = 0;
    let stream = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_slowly(&server, &hurry));
        for _ in 0..run.rounds(70, 200) {
            send(&mut writer, &ledger, &bulky(&ledger, REPORTS, MESSAGE_BYTES));
            grown = grown.max(std::fs::metadata(wal(&folder)).map_or(0, |file| file.len()));
        }
        hurry.store(true, Ordering::Relaxed);
        reader.join().unwrap_or_else(|_| Err("the reader panicked".into()))
    });
    ensure!(grown < WAL_MAX_BYTES, "the log grew to {} MiB while a client read", grown >> 20);
    let stream = stream?;
    let rows = stream.lines().count();
    ensure!(rows == begun_with, "the stream has {rows} rows of {begun_with}");
    let now = lines(&server)?;
    ensure!(stream.lines().eq(now.iter().take(rows)), "the stream is not the history");
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    let (written, grown) = (now.len() - rows, grown >> 20);
    Ok(format!("{rows} rows read, {written} written meanwhile, the log at most {grown} MiB"))
}

/// The whole history, in sips until there is reason to hurry.
fn read_slowly(server: &Server, hurry: &AtomicBool) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = "GET /history?format=ndjson&sort=id HTTP/1.1\r\nHost: faults\r\n";
    stream.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes())?;
    let (mut bytes, mut sip) = (Vec::new(), vec![0; SIP_BYTES]);
    while !hurry.load(Ordering::Relaxed) {
        let read = stream.read(&mut sip)?;
        bytes.extend_from_slice(&sip[..read]);
        std::thread::sleep(PAUSE);
    }
    stream.read_to_end(&mut bytes)?;
    let (answer, _) = read_answer(&mut &bytes[..])?;
    ensure!(answer.status == 200, "/history: {}", answer.text());
    Ok(answer.text())
}
