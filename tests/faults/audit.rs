//! After a fault: what is there, against what the clients know; what is derived, against the history; and
//! whether the server goes on.

use crate::ledger::{Fate, Ledger};
use crate::load::{number_of, plain, send};
use crate::run::{Failure, Run, ensure};
use crate::server::{Server, command, wal};
use gitops_status_server::domain::line::hex;
use gitops_status_server::domain::time::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Hosts whose history is asked for by host.
const HOSTS_ASKED: usize = 16;

/// What an audit found.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Lines of the history.
    pub lines: usize,
    /// Lines that no client of the load sent: imports.
    pub others: usize,
}

/// Every line of the history in the order of ids.
pub fn lines(server: &Server) -> Result<Vec<String>, Failure> {
    let answer = server.get("/history?format=ndjson&sort=id")?;
    ensure!(answer.status == 200, "/history: {}", answer.text());
    Ok(answer.text().lines().map(str::to_owned).collect())
}

/// SHA-256 over a zero byte and the line: the leaf hash, as receipts have it.
fn leaf_hash(line: &str) -> String {
    let hash = Sha256::new().chain_update([0]).chain_update(line).finalize();
    hex(&hash)
}

/// The ledger rule over the lines of a history. `acknowledged`: the receipts that must be honoured.
pub fn check_lines(
    lines: &[String],
    ledger: &Ledger,
    acknowledged: &BTreeMap<u64, String>,
) -> Result<Kept, Failure> {
    let violations = ledger.violations();
    ensure!(violations.is_empty(), "{}", violations.join("; "));
    for (id, hash) in acknowledged {
        let line = lines.get(*id as usize - 1).ok_or_else(|| {
            format!(
                "report {id} was acknowledged and is not there: the history ends at {}",
                lines.len()
            )
        })?;
        ensure!(leaf_hash(line) == *hash, "the receipt of {id} is not that of the line {line}");
    }
    let (mut found, mut others, mut received) = (BTreeMap::new(), 0, i64::MIN);
    for (at, line) in lines.iter().enumerate() {
        let parsed: Value = serde_json::from_str(line)?;
        ensure!(
            parsed["id"].as_str() == Some(&*(at + 1).to_string()),
            "ids are not dense at {}: {line}",
            at + 1
        );
        let now = Timestamp::parse(parsed["received_at"].as_str().unwrap_or_default());
        let now = now.map_err(|_| format!("received_at: {line}"))?.0;
        ensure!(now >= received, "received_at goes back with {line}");
        received = now;
        match number_of(&parsed) {
            None => others += 1,
            Some(number) => {
                check_report(number, at as u64 + 1, line, &parsed, ledger)?;
                let before = found.insert(number, at + 1);
                ensure!(before.is_none(), "report {number} is there twice: {before:?}, {}", at + 1);
            }
        }
    }
    for request in ledger.requests() {
        let there =
            request.reports.iter().filter(|report| found.contains_key(&report.number)).count();
        let (first, all) = (request.reports[0].number, request.reports.len());
        ensure!(
            there == 0 || there == all,
            "{there} of the {all} reports sent with {first} are there"
        );
        let owed = ledger.fate(&request) == Fate::Owed;
        ensure!(!owed || there == all, "report {first} was handed over whole and is not there");
    }
    Ok(Kept { lines: lines.len(), others })
}

/// A line of a report that some client sent.
fn check_report(
    number: u64,
    id: u64,
    line: &str,
    parsed: &Value,
    ledger: &Ledger,
) -> Result<(), Failure> {
    let Some((request, fate)) = ledger.find(number) else {
        return Err(format!("report {number} was never sent: {line}").into());
    };
    let sent = request.reports.iter().find(|report| report.number == number);
    let sent = sent.ok_or("the ledger is wrong")?;
    ensure!(
        parsed["host"] == sent.host.as_str() && parsed["status"] == sent.status,
        "report {number} was sent as {sent:?}: {line}"
    );
    match fate {
        Fate::Refused => Err(format!("report {number} was refused and is there: {line}").into()),
        Fate::Stored { id: known, hash } if known != id || hash != leaf_hash(line) => {
            Err(format!("report {number} was acknowledged as {known} {hash}: {line}").into())
        }
        _ => Ok(()),
    }
}

/// What is asked by host says the same as the history by id, also of what is not projected yet. Afterwards
/// there may be more of it.
fn check_hosts(server: &Server, lines: &[String]) -> Result<(), Failure> {
    let mut hosts = BTreeMap::<String, BTreeSet<&str>>::new();
    for line in lines {
        let host = serde_json::from_str::<Value>(line)?["host"].as_str().map(str::to_owned);
        hosts.entry(host.unwrap_or_default()).or_default().insert(line);
    }
    for (host, expected) in hosts.iter().take(HOSTS_ASKED) {
        let answer = server.get(&format!("/history?format=ndjson&host={host}"))?;
        ensure!(answer.status == 200, "/history?host={host}: {}", answer.text());
        let text = answer.text();
        let there: BTreeSet<&str> = text.lines().collect();
        let (found, all) = (expected.intersection(&there).count(), expected.len());
        ensure!(found == all, "by host there are {found} of the {all} reports on {host}");
    }
    Ok(())
}

/// The lines of a running server, and its board: both must be the same history.
pub fn check_server(
    server: &Server,
    ledger: &Ledger,
    acknowledged: &BTreeMap<u64, String>,
) -> Result<Kept, Failure> {
    let lines = lines(server)?;
    let kept = check_lines(&lines, ledger, acknowledged)?;
    check_hosts(server, &lines)?;
    let rows = server.get("/status")?.json();
    let rows = rows.as_array().ok_or("/status is no array")?;
    let reports: u64 = rows.iter().filter_map(|row| row["reports"].as_u64()).sum();
    ensure!(reports == kept.lines as u64, "/status counts {reports} reports of {}", kept.lines);
    Ok(kept)
}

/// Whether the database is sound: every entry against the tree, projections against the fold.
pub fn verify(run: &Run, folder: &Path) -> Result<(), Failure> {
    let (code, said) = command(run, folder, &["verify"])?;
    ensure!(code == 0, "verify: {said}");
    Ok(())
}

/// The whole audit of a folder whose server has ended: it starts again, everything is as the clients know it,
/// a repetition by key settles what is unknown, reports are taken, it stops in order, and `verify` agrees.
pub fn after_fault(run: &Run, folder: &Path, ledger: &Ledger) -> Result<Kept, Failure> {
    let mut server = Server::start(run, folder)?;
    check_server(&server, ledger, &ledger.acknowledged())?;
    settle(&server, ledger)?;
    let kept = check_server(&server, ledger, &ledger.acknowledged())?;
    server.stop()?;
    let words = server.last_words();
    ensure!(!wal(folder).exists(), "the log was not folded back at the end: {words}");
    verify(run, folder)?;
    Ok(kept)
}

/// Sends again what is unknown and has a key; and something new, which must be taken.
pub fn settle(server: &Server, ledger: &Ledger) -> Result<(), Failure> {
    let (mut connection, refused) = (server.connection(), ledger.unavailable());
    for request in ledger.requests() {
        if request.key.is_some() && ledger.fate(&request) == Fate::Unknown {
            send(&mut connection, ledger, &request);
            // One that must be refused was on its way as well.
            let settled = matches!(ledger.fate(&request), Fate::Stored { .. } | Fate::Refused);
            ensure!(settled, "a repetition by key is not taken: {:?}", request.key);
        }
    }
    ensure!(ledger.unavailable() == refused, "a repetition by key is answered 503");
    let before = ledger.stored();
    send(&mut connection, ledger, &plain(ledger, "after", false));
    ensure!(ledger.stored() == before + 1, "no report is taken after the fault");
    Ok(())
}
