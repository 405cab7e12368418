//! Other processes at the same database: a second server, an import by hand, somebody with `sqlite3`.

use crate::audit::{after_fault, check_server};
use crate::ledger::Ledger;
use crate::load::{during, plain, send};
use crate::run::{Failure, Outcome, Run, ensure, wait_until};
use crate::server::{Launch, Server, command, database};
use serde_json::{Map, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
/// How soon a second server must have understood.
const UNDERSTOOD: Duration = Duration::from_secs(5);
/// Servers in a file that is imported.
const IMPORTED: usize = 20;
/// Held for less than SQLite's busy timeout of 5 s, and for more.
const SHORT: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_secs(8);
/// By when the server has tried to settle what came last.
const SETTLED: Duration = Duration::from_millis(1400);

/// It ends at once and says who is there; the first is not disturbed.
pub fn second_server(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut first = Server::start(run, &folder)?;
    let mut chance = run.chance();
    let said = during(first.address, &ledger, CLIENTS, &mut chance, || {
        let mut second = Launch::new(run, &folder).spawn()?;
        let mut ended = None;
        wait_until(UNDERSTOOD, || {
            ended = second.exit().unwrap_or(None);
            ended.is_some()
        });
        let status = ended.ok_or("a second server serves the same database")?;
        let (words, pid) = (second.last_words(), first.id().to_string());
        ensure!(status.code() == Some(1), "the second server ended with {status}: {words}");
        ensure!(words.contains(&pid), "the second server does not name {pid}: {words}");
        Ok::<_, Failure>("the second names the first".to_owned())
    })?;
    drop(chance);
    ensure!(ledger.unavailable() == 0, "the first server was disturbed");
    first.stop()?;
    let kept = after_fault(run, &folder, &ledger)?;
    Ok(format!("{said}; {} acknowledged, {} kept", ledger.stored(), kept.lines))
}

/// Each goes in whole; no report is refused for it, and every receipt is right.
pub fn import_beside(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let rounds = run.rounds(15, 200);
    let mut chance = run.chance();
    during(server.address, &ledger, CLIENTS, &mut chance, || {
        for round in 0..rounds {
            let server = |n| (format!("import/{round}-{n}"), json!({"status": "synced"}));
            let servers: Map<_, _> = (0..IMPORTED).map(server).collect();
            let file = folder.join("status.json");
            std::fs::write(&file, json!({"version": "2.0", "servers": servers}).to_string())?;
            let (code, said) = command(run, &folder, &["import", &file.to_string_lossy()])?;
            ensure!(code == 0, "import: {said}");
        }
        Ok::<_, Failure>(())
    })?;
    drop(chance);
    ensure!(ledger.unavailable() == 0, "reports were refused beside an import");
    check_server(&server, &ledger, &ledger.acknowledged())?;
    server.stop()?;
    let kept = after_fault(run, &folder, &ledger)?;
    let expected = rounds * IMPORTED;
    ensure!(kept.others == expected, "{} of {expected} imported servers are there", kept.others);
    Ok(format!("{rounds} imports, {} acknowledged", ledger.stored()))
}

/// Holds the write lock for a time.
fn hold(path: &Path, time: Duration) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection: SqliteConnection = options.connect().await?;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await?;
        std::thread::sleep(time);
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    })
}

/// A short lock is waited for; a long one is answered 503, and nothing of it is stored. What is left to
/// be settled meets the lock first, and must not add its waiting to that of the report.
pub fn locked(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let path = database(&folder);
    let mut waited = Vec::new();
    for time in [SHORT, LONG] {
        let before = ledger.unavailable();
        // So that something is left to be settled.
        send(&mut server.connection(), &ledger, &plain(&ledger, "h", true));
        let held = std::thread::scope(|scope| {
            let holder = scope.spawn(|| hold(&path, time));
            std::thread::sleep(if time == LONG { SETTLED } else { SHORT / 5 });
            let begun = Instant::now();
            send(&mut server.connection(), &ledger, &plain(&ledger, "h", true));
            waited.push(begun.elapsed());
            holder.join().map_err(|_| "the lock could not be held")?
        });
        held?;
        let refused = ledger.unavailable() - before;
        ensure!(time == LONG || refused == 0, "a short lock is not waited for: {:?}", waited[0]);
        ensure!(time == SHORT || refused == 1, "a lock of {LONG:?} does not lead to a 503");
    }
    ensure!(waited[0] > SHORT / 2, "the lock was not felt: {:?}", waited[0]);
    send(&mut server.connection(), &ledger, &plain(&ledger, "h", true));
    ensure!(ledger.stored() == 4, "no report is taken after the lock");
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    Ok(format!("waited {:.1?}, refused after {:.1?}", waited[0], waited[1]))
}
