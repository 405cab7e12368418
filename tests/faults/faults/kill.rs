//! kill -9 under load, again and again on the same database.

use crate::audit::{after_fault, check_server};
use crate::ledger::Ledger;
use crate::load::during;
use crate::run::{Outcome, Run, ensure};
use crate::server::Server;
use std::time::Duration;

const CLIENTS: usize = 8;

pub fn run(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let rounds = run.rounds(10, 150);
    for _ in 0..rounds {
        let mut server = Server::start(run, &folder)?;
        check_server(&server, &ledger, &ledger.acknowledged())?;
        let mut chance = run.chance();
        let time = Duration::from_millis(50 + chance.below(400) as u64);
        during(server.address, &ledger, CLIENTS, &mut chance, || {
            std::thread::sleep(time);
            server.kill();
        });
    }
    let (stored, unknown) = (ledger.stored(), ledger.unknown());
    ensure!(stored >= rounds * CLIENTS, "the load was too light to tell: {stored} acknowledged");
    let kept = after_fault(run, &folder, &ledger)?;
    Ok(format!("{rounds} kills, {stored} acknowledged, {unknown} unknown, {} kept", kept.lines))
}
