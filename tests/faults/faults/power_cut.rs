//! A power cut without a power switch: the server's writes are recorded, and replayed up to random
//! moments. What was acknowledged by then must be there.

use crate::audit::{check_server, verify};
use crate::disk::{Disk, Event, Recording};
use crate::ledger::Ledger;
use crate::load::{during, plain, send};
use crate::planting;
use crate::run::{Failure, Outcome, PATIENCE, Run, ensure, wait_until};
use crate::server::Server;
use std::collections::BTreeMap;
use std::time::Duration;

const CLIENTS: usize = 6;
/// Reports of a life that are worth cutting it; a slow machine takes longer for them.
const ENOUGH: usize = 100;

pub fn run(run: &Run) -> Outcome {
    planting::with_control(run, cuts)
}

fn cuts(run: &Run) -> Outcome {
    let lives = run.rounds(1, 10);
    let (mut moments, mut stored, mut syncs) = (0, 0, 0);
    for _ in 0..lives {
        let ledger = Ledger::default();
        let recording = record(run, &ledger)?;
        stored += ledger.stored();
        let (cuts, disk) = cut_often(run, &recording, &ledger)?;
        moments += cuts;
        syncs += disk.syncs;
    }
    Ok(format!("{moments} cuts, {stored} acknowledged, {syncs} syncs"))
}

/// A life of a server, from the creation of its database to its end in order, and a second one.
fn record(run: &Run, ledger: &Ledger) -> Result<Recording, Failure> {
    let folder = run.folder();
    let shim = run.shim(&folder, true)?;
    // The second has one client, whose reports say the same as ever: the shortest way of writing.
    for clients in [CLIENTS, 1] {
        let mut server = Server::under(run, &folder, &shim)?;
        let time = Duration::from_millis(if run.short { 1200 } else { 4000 });
        let before = ledger.stored();
        during(server.address, ledger, clients, &mut run.chance(), || {
            std::thread::sleep(time);
            wait_until(PATIENCE, || ledger.stored() > before + ENOUGH)
        });
        server.stop()?;
    }
    let recording = Recording::parse(shim.recorded()?)?;
    let (recorded, stored) = (recording.acknowledged(), ledger.stored());
    ensure!(
        recorded >= stored,
        "{stored} were acknowledged, and only {recorded} of it was recorded"
    );
    ensure!(stored > 2 * ENOUGH, "the load was too light to tell: {stored} acknowledged");
    Ok(recording)
}

/// Cuts a recorded life off at many moments.
fn cut_often(run: &Run, recording: &Recording, ledger: &Ledger) -> Result<(usize, Disk), Failure> {
    let moments = moments(run, recording, run.rounds(30, 40));
    let (mut disk, mut acknowledged) = (Disk::default(), BTreeMap::new());
    for (at, event) in recording.events.iter().enumerate() {
        disk.follow(recording, event);
        if let Event::Acknowledged(receipts) = event {
            acknowledged.extend(receipts.iter().cloned());
        }
        if moments.binary_search(&at).is_ok() {
            let happened = || format!("cut after {at} of {} events", recording.events.len());
            cut(run, recording, &disk, ledger, &acknowledged)
                .map_err(|failure| format!("{}: {failure}", happened()))?;
        }
    }
    Ok((moments.len(), disk))
}

/// Moments by chance; half of them just behind an answer, where the promise is youngest.
fn moments(run: &Run, recording: &Recording, wanted: usize) -> Vec<usize> {
    let answers: Vec<usize> = recording.events.iter().enumerate().filter_map(answer).collect();
    let mut chance = run.chance();
    let mut moments: Vec<usize> = (0..wanted)
        .map(|n| match n % 2 {
            0 => answers[chance.below(answers.len())],
            _ => chance.below(recording.events.len()),
        })
        .collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}

fn answer((at, event): (usize, &Event)) -> Option<usize> {
    matches!(event, Event::Acknowledged(_)).then_some(at)
}

/// One cut: what is left on the disk becomes a server's database.
fn cut(
    run: &Run,
    recording: &Recording,
    disk: &Disk,
    ledger: &Ledger,
    acknowledged: &BTreeMap<u64, String>,
) -> Result<(), Failure> {
    let folder = run.folder();
    disk.cut(recording, &folder, &mut run.chance())?;
    let mut server = Server::start(run, &folder)?;
    check_server(&server, ledger, acknowledged)?;
    verify(run, &folder)?;
    let next = Ledger::default();
    send(&mut server.connection(), &next, &plain(&next, "after", false));
    ensure!(next.stored() == 1, "no report is taken after the cut");
    server.kill();
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
