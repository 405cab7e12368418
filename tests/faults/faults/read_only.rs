//! A file system that is read-only: from some moment on, or from the start.

use crate::audit::after_fault;
use crate::ledger::Ledger;
use crate::load::{during, for_a_while};
use crate::mounts::Mount;
use crate::run::{Failure, Outcome, PATIENCE, Run, ensure, wait_until};
use crate::server::{Launch, Server, database};
use crate::shim::{EROFS, Field};
use std::time::Duration;

const CLIENTS: usize = 3;
const DISK_BYTES: u64 = 128 << 20;

pub fn run(run: &Run) -> Outcome {
    let ledger = Ledger::default();
    under_the_server(run, &ledger)?;
    at_the_start(run)?;
    let (stored, refused) = (ledger.stored(), ledger.unavailable());
    Ok(format!("{stored} acknowledged, {refused} answered 503; refused at the start"))
}

/// No report is taken, and none that was taken is lost.
fn under_the_server(run: &Run, ledger: &Ledger) -> Result<(), Failure> {
    let folder = run.folder();
    let shim = run.shim(&folder, false)?;
    let mut server = Server::under(run, &folder, &shim)?;
    let mut chance = run.chance();
    let refused = during(server.address, ledger, CLIENTS, &mut chance, || {
        std::thread::sleep(Duration::from_millis(200));
        shim.fail(Field::WriteFailsAt, 1, EROFS, true);
        wait_until(PATIENCE, || ledger.unavailable() >= CLIENTS)
    });
    drop(chance);
    ensure!(refused, "reports are taken on a read-only file system");
    // It may go on reading, or end to be started again.
    if server.exit()?.is_none() {
        let status = server.status_of("/status");
        ensure!(status == 200 || server.exit()?.is_some(), "/status is answered {status}");
    }
    server.kill();
    shim.heal();
    after_fault(run, &folder, ledger).map(|_| ())
}

/// The start fails with a line that says so, and the database stays as it is.
fn at_the_start(run: &Run) -> Result<(), Failure> {
    let disk = Mount::memory(DISK_BYTES, run.folder().join("disk"))?;
    let (folder, ledger) = (disk.0.join("data"), Ledger::default());
    std::fs::create_dir(&folder)?;
    let mut server = Server::start(run, &folder)?;
    for_a_while(server.address, &ledger, CLIENTS, &mut run.chance(), Duration::from_millis(200));
    server.stop()?;
    let before = std::fs::read(database(&folder))?;
    // What the server says goes beside the folder, which is on the same disk: into one of its own.
    let words = Mount::memory(1 << 20, disk.0.join("words"))?;
    std::os::unix::fs::symlink(words.0.join("stderr"), disk.0.join("data.said"))?;
    std::fs::rename(disk.0.join("data.said"), disk.0.join("data.stderr"))?;
    disk.change("ro")?;
    let mut server = Launch::new(run, &folder).spawn()?;
    let status = server.wait()?;
    let said = server.last_words();
    ensure!(status.code() == Some(1), "on a read-only file system it ends with {status}: {said}");
    ensure!(said.to_lowercase().contains("read-only"), "it does not say why it ends: {said}");
    disk.change("rw")?;
    ensure!(std::fs::read(database(&folder))? == before, "the database was changed");
    after_fault(run, &folder, &ledger).map(|_| ())
}
