//! One report per POST against our stand-in of the old status API.

use super::ingest::{CONNECTIONS, RECORD, send};
use crate::peers::flask;
use crate::support::book::{Book, Target};
use crate::support::data::{self, HOSTS, pipeline_body};
use crate::support::plan::Plan;
use crate::support::{ratios, server};

pub fn run(plan: &Plan) {
    let title =
        format!("a stand-in of the old status API, {HOSTS} hosts, {CONNECTIONS} connections");
    let mut book = Book::new("flask", title);
    let folder = data::scratch();
    let ours = server::start(&folder.path().join("reports.db"));
    send(&ours, RECORD, 1, CONNECTIONS, plan.time / 2);
    let peers = [false, true].map(|waitress| {
        let state = folder.path().join(format!("state-{waitress}.json"));
        std::fs::write(&state, all_hosts()).unwrap();
        flask::start(waitress, &state)
    });
    let (mut report, mut builtin, mut waitress) = (vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let rate = |service| send(service, RECORD, 1, CONNECTIONS, plan.time).per_second;
        report.push(rate(&ours));
        builtin.push(rate(&peers[0]));
        waitress.push(rate(&peers[1]));
    }
    book.row("POST of a report, ours, durable", "/s", &report);
    book.row("the stand-in under Flask's own server, not synced", "/s", &builtin);
    book.row("the stand-in under waitress, 8 threads, not synced", "/s", &waitress);
    let faster: Vec<f64> = builtin.iter().zip(&waitress).map(|(a, b)| a.max(*b)).collect();
    let against = "the stand-in, whichever server was faster";
    let target = Target::at_least(50.0);
    book.verdict("one report per POST", against, "×", &ratios(&report, &faster), target);
    book.note(
        "The stand-in is ours (`benches/peers/old_status_api.py`), not the real one, and leaves out what would have made it slower.",
    );
    ours.stop();
    // Dropped, not stopped: Flask's own server knows no orderly end.
    drop(peers);
    book.close(&plan.out);
}

/// The state file with every host, as if each had reported once.
fn all_hosts() -> String {
    let row = |host| {
        let (group, name) = data::host(host);
        format!("\"{group}/{name}\":{}", pipeline_body(host, "2026-04-01T00:00:00Z"))
    };
    let rows: Vec<String> = (0..HOSTS).map(row).collect();
    format!("{{\"version\":\"2.0\",\"servers\":{{{}}}}}", rows.join(","))
}
