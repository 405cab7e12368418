//! Clients that do not behave: gone behind the body or amid it, or slow with it.

use crate::audit::after_fault;
use crate::http::{Connection, post};
use crate::ledger::{Fate, Ledger};
use crate::load::{during, plain, send};
use crate::run::{Failure, Outcome, Run, ensure};
use crate::server::Server;
use crate::shim::Field;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const CLIENTS: usize = 3;
/// A sync takes long enough for posts to be in the queue when their clients go.
const SYNC: Duration = Duration::from_millis(1200);
/// When a slow body must have been given up (the limit is 10 s).
const GIVEN_UP: Duration = Duration::from_secs(20);

/// A connection whose end is a reset: an answer lies in it unread.
fn to_be_reset(server: &Server) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: faults\r\n\r\n")?;
    stream.peek(&mut [0])?;
    Ok(stream)
}

/// A report that was handed over whole is written, whoever waits for it; half of one is not.
pub fn reset(run: &Run) -> Outcome {
    let rounds = run.rounds(2, 30);
    let mut resets = 0;
    for _ in 0..rounds {
        let (folder, ledger) = (run.folder(), Ledger::default());
        let shim = run.shim(&folder, false)?;
        let mut server = Server::under(run, &folder, &shim)?;
        shim.set(Field::SyncDelayMicros, SYNC.as_micros() as i64);
        // This one keeps the writer busy; the others wait in the queue.
        let first = plain(&ledger, "first", false);
        let mut waiting = Connection::new(server.address);
        waiting.send(&post(first.path, None, &first.body))?;
        std::thread::sleep(SYNC / 6);
        let mut streams = Vec::new();
        for n in 0..20 {
            let request = plain(&ledger, &format!("host-{n}"), false);
            let bytes = post(request.path, None, &request.body);
            let whole = n % 3 != 0;
            let sent = if whole { bytes.len() } else { bytes.len() - 1 - n };
            ledger.set(&request, if whole { &Fate::Owed } else { &Fate::Refused });
            let mut stream = to_be_reset(&server)?;
            stream.write_all(&bytes[..sent])?;
            streams.push(stream);
        }
        std::thread::sleep(SYNC / 3);
        resets += streams.len();
        drop(streams);
        ledger.note(&first, &waiting.answer());
        shim.set(Field::SyncDelayMicros, 0);
        ensure!(server.status_of("/ready") == 200, "not ready after the resets");
        send(&mut server.connection(), &ledger, &plain(&ledger, "last", false));
        server.stop()?;
        after_fault(run, &folder, &ledger)?;
    }
    Ok(format!("{resets} resets"))
}

/// Both kinds are given up, and nobody else waits for them.
pub fn slow_body(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let mut chance = run.chance();
    let (trickled, stalled) = during(server.address, &ledger, CLIENTS, &mut chance, || {
        std::thread::scope(|scope| {
            let trickle = scope.spawn(|| slow(&server, &ledger, true));
            let stall = scope.spawn(|| slow(&server, &ledger, false));
            let end = |slow: std::thread::ScopedJoinHandle<'_, _>| {
                slow.join().unwrap_or_else(|_| Err("a client panicked".into()))
            };
            (end(trickle), end(stall))
        })
    });
    drop(chance);
    let (trickled, stalled) = (trickled?, stalled?);
    let stored = ledger.stored();
    ensure!(stored > 100 && ledger.unavailable() == 0, "the others waited: {stored} acknowledged");
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    Ok(format!(
        "408 after {trickled:.1?} and {stalled:.1?}; {stored} others acknowledged meanwhile"
    ))
}

/// A body that comes byte by byte, or stops; answers how long it was borne.
fn slow(server: &Server, ledger: &Ledger, trickle: bool) -> Result<Duration, Failure> {
    let request = plain(ledger, "slow", false);
    ledger.set(&request, &Fate::Refused);
    let bytes = post(request.path, None, &request.body);
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let begun = Instant::now();
    let half = bytes.len() - request.body.len() / 2;
    stream.write_all(&bytes[..half])?;
    let mut rest = bytes[half..].iter();
    let mut answer = Vec::new();
    while begun.elapsed() < GIVEN_UP {
        // The last byte never comes.
        if let (true, Some(byte)) = (trickle && rest.len() > 1, rest.next()) {
            let _ = stream.write_all(&[*byte]);
        }
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).unwrap_or(0);
        answer.extend_from_slice(&buffer[..read]);
        if answer.len() >= 12 {
            ensure!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
            return Ok(begun.elapsed());
        }
    }
    Err(format!("no 408 within {GIVEN_UP:?}").into())
}
