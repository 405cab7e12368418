//! More requests than may wait, at a disk that takes its time: some are refused at once, all others are kept.

use crate::audit::after_fault;
use crate::http::{Connection, post};
use crate::ledger::Ledger;
use crate::load::{plain, send};
use crate::run::{Outcome, Run, ensure};
use crate::server::Launch;
use crate::shim::Field;
use std::time::{Duration, Instant};

/// The queue takes 1,024.
const REQUESTS: usize = 1400;
/// Each has a connection of its own.
const CONNECTIONS: &[(&str, &str)] = &[("MAX_CONNECTIONS", "4096")];
/// Ended as soon as the refusals are there.
const SYNC: Duration = Duration::from_mins(1);

pub fn run(run: &Run) -> Outcome {
    let rounds = run.rounds(1, 5);
    let mut counts = (0, 0);
    for _ in 0..rounds {
        let (folder, ledger) = (run.folder(), Ledger::default());
        let shim = run.shim(&folder, false)?;
        let launch =
            Launch { shim: Some(&shim), settings: CONNECTIONS, ..Launch::new(run, &folder) };
        let mut server = launch.start()?;
        shim.set(Field::SyncDelayMicros, SYNC.as_micros() as i64);
        let begun = Instant::now();
        let mut waiting = Vec::new();
        for n in 0..REQUESTS {
            let request = plain(&ledger, &format!("host-{}", n % 50), true);
            let mut connection = Connection::new(server.address);
            connection.send(&post(request.path, request.key.as_deref(), &request.body))?;
            waiting.push((connection, request));
        }
        ensure!(begun.elapsed() < SYNC, "this machine is too slow to fill the queue in {SYNC:?}");
        // The last ones met a full queue: they are answered before the disk is.
        for (connection, request) in waiting.iter_mut().rev().take(50) {
            ledger.note(request, &connection.answer());
            ensure!(ledger.unavailable() > 0, "nobody was refused: {REQUESTS} may wait");
        }
        let (refused, after) = (ledger.unavailable(), begun.elapsed());
        shim.set(Field::SyncDelayMicros, 0);
        for (connection, request) in waiting.iter_mut().rev().skip(50) {
            ledger.note(request, &connection.answer());
        }
        ensure!(refused > 0 && after < SYNC, "refusals came only after {after:?}");
        counts = (counts.0 + ledger.stored(), counts.1 + ledger.unavailable());
        send(&mut server.connection(), &ledger, &plain(&ledger, "h", false));
        server.stop()?;
        after_fault(run, &folder, &ledger)?;
    }
    Ok(format!("{} acknowledged, {} refused at once", counts.0, counts.1))
}
