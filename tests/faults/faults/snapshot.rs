//! A power cut by the file system: the server's disk is an image on XFS, which copies a file in no time
//! (reflink) while the server writes. Each copy is mounted as if the machine had just come back.
//!
//! Everything the inner file system has handed to its disk by then is there; what is only in memory is not.

use crate::audit::{check_server, verify};
use crate::ledger::Ledger;
use crate::load::during;
use crate::mounts::Mount;
use crate::planting;
use crate::run::{Failure, Outcome, Run, ensure, run_command};
use crate::server::Server;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CLIENTS: usize = 6;
const OUTER_BYTES: u64 = 4 << 30;
const INNER_BYTES: u64 = 512 << 20;

pub fn run(run: &Run) -> Outcome {
    // The control has chance against it: more rounds.
    planting::with_control(run, |run| {
        let rounds = if run.is_planted() { 40 } else { run.rounds(8, 50) };
        snapshots(run, rounds)
    })
}

fn make(image: &Path, bytes: u64, program: &str, arguments: &[&str]) -> Result<(), Failure> {
    std::fs::File::create(image)?.set_len(bytes)?;
    run_command(Command::new(program).args(arguments).arg(image)).map(|_| ())
}

fn snapshots(run: &Run, rounds: usize) -> Outcome {
    let base = run.folder();
    let outer_image = base.join("outer.img");
    make(&outer_image, OUTER_BYTES, "mkfs.xfs", &["-q", "-m", "reflink=1"])?;
    let outer = Mount::image(&outer_image, base.join("outer"))?;
    let inner_image = outer.0.join("inner.img");
    make(&inner_image, INNER_BYTES, "mkfs.ext4", &["-q", "-F"])?;
    let inner = Mount::image(&inner_image, base.join("inner"))?;
    let (folder, ledger) = (inner.0.join("data"), Ledger::default());
    std::fs::create_dir(&folder)?;
    let mut server = Server::start(run, &folder)?;
    for _ in 0..rounds {
        let copy = outer.0.join("copy.img");
        let mut chance = run.chance();
        let time = Duration::from_millis(100 + chance.below(500) as u64);
        let acknowledged = during(server.address, &ledger, CLIENTS, &mut chance, || {
            std::thread::sleep(time);
            // What is acknowledged before the copy begins must be in it.
            let acknowledged = ledger.acknowledged();
            run_command(Command::new("cp").arg("--reflink=always").arg(&inner_image).arg(&copy))?;
            Ok::<_, Failure>(acknowledged)
        })?;
        drop(chance);
        let mounted = Mount::image(&copy, base.join("copy"))?;
        let left = mounted.0.join("data");
        let after = Server::start(run, &left)?;
        check_server(&after, &ledger, &acknowledged)?;
        verify(run, &left)?;
        drop((after, mounted));
        std::fs::remove_file(&copy)?;
    }
    server.stop()?;
    verify(run, &folder)?;
    let stored = ledger.stored();
    ensure!(stored > rounds * CLIENTS, "the load was too light to tell: {stored} acknowledged");
    Ok(format!("{rounds} snapshots, {stored} acknowledged"))
}
