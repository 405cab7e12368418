//! Late reports of alternating status, anywhere in long histories of entries that only confirm.

use super::{ARRAY, Beside, array, ask_on};
use crate::support::book::Target;
use crate::support::client::Client;
use crate::support::data::QUARTER_END;
use crate::support::{load, server};
use gitops_status_server::domain::time::{SECOND, Timestamp};

const HOSTS: usize = 8;
/// Entries of each host that only confirm.
const ENTRIES: usize = 100_000;
/// Between two of them.
const GAP: i64 = 60 * SECOND;
const CONNECTIONS: usize = 4;
const ROUTE: &str = "/status/cron?create=true";

pub fn run(beside: &mut Beside) {
    let name = "late reports on 8 hosts with 100,000 entries each";
    let server = server::start_logged(&beside.database("late"));
    let mut client = Client::new(server.port);
    for from in (0..HOSTS * ENTRIES).step_by(ARRAY) {
        client.must(&array(ROUTE, (from..from + ARRAY).map(confirming)));
    }
    let (noticed, answers) = beside.stretches(name, &server, &[], |end| {
        ask_on(CONNECTIONS, server.port, end, |n, out| load::post(ROUTE, late(n).as_bytes(), out))
    });
    server.stop();
    beside.row_of_excess(name, 200, &answers);
    beside.judge_others(name, &noticed);
    let worst = noticed.0.iter().map(|(_, _, loud)| loud.worst).fold(0.0, f64::max);
    let label = format!("{name}: worst answer to others");
    beside.book.verdict(label, "", "ms", &[worst], Target::at_most(super::ANYBODY_MILLIS));
}

fn confirming(n: usize) -> String {
    let time = Timestamp(QUARTER_END + (n / HOSTS) as i64 * GAP);
    let host = n % HOSTS;
    format!(r#"{{"server_group":"late","host":"host-{host}","last_cron_check":"{time}"}}"#)
}

/// Far from the one before, and at a time that no other report has.
fn late(n: u64) -> String {
    let place = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % ENTRIES as u64;
    let time = Timestamp(QUARTER_END + place as i64 * GAP + 1 + n as i64);
    let (host, status) =
        (n % HOSTS as u64, ["out_of_sync", "synced"][(n / HOSTS as u64 % 2) as usize]);
    format!(
        r#"{{"server_group":"late","host":"host-{host}","status":"{status}","last_cron_check":"{time}"}}"#
    )
}
