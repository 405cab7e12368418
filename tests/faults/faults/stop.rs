//! SIGTERM: what is in flight is answered and kept, then the server ends with 0.

use crate::audit::after_fault;
use crate::http::{Connection, post};
use crate::ledger::Ledger;
use crate::load::{during, plain};
use crate::run::{Failure, Outcome, Run, ensure};
use crate::server::Server;
use crate::shim::Field;
use std::time::Duration;

const CLIENTS: usize = 8;
/// How long a sync takes, so that posts are in flight for certain.
const SYNC: Duration = Duration::from_secs(1);

pub fn run(run: &Run) -> Outcome {
    let ledger = Ledger::default();
    in_flight(run, &ledger)?;
    let rounds = run.rounds(4, 60);
    for _ in 0..rounds {
        let (folder, ledger) = (run.folder(), Ledger::default());
        let mut server = Server::start(run, &folder)?;
        let mut chance = run.chance();
        let time = Duration::from_millis(50 + chance.below(200) as u64);
        during(server.address, &ledger, CLIENTS, &mut chance, || {
            std::thread::sleep(time);
            server.stop()
        })?;
        drop(chance);
        after_fault(run, &folder, &ledger)?;
    }
    Ok(format!("{CLIENTS} posts in flight answered; {rounds} stops under load"))
}

/// Posts that wait for a slow disk when the signal comes.
fn in_flight(run: &Run, ledger: &Ledger) -> Result<(), Failure> {
    let folder = run.folder();
    let shim = run.shim(&folder, false)?;
    let mut server = Server::under(run, &folder, &shim)?;
    shim.set(Field::SyncDelayMicros, SYNC.as_micros() as i64);
    let mut waiting = Vec::new();
    for client in 0..CLIENTS {
        let request = plain(ledger, &format!("host-{client}"), true);
        let mut connection = Connection::new(server.address);
        connection.send(&post(request.path, request.key.as_deref(), &request.body))?;
        waiting.push((connection, request));
    }
    std::thread::sleep(SYNC / 3);
    server.signal("-TERM")?;
    for (connection, request) in &mut waiting {
        ledger.note(request, &connection.answer());
    }
    let stored = ledger.stored();
    ensure!(stored == CLIENTS, "of {CLIENTS} posts in flight {} were broken off", CLIENTS - stored);
    let status = server.wait()?;
    ensure!(status.code() == Some(0), "SIGTERM ended in {status}: {}", server.last_words());
    shim.set(Field::SyncDelayMicros, 0);
    after_fault(run, &folder, ledger).map(|_| ())
}
