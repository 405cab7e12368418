//! Arrays of hosts with as many files as a report may name: what they take of memory, also after a start.

use super::{Beside, array};
use crate::support::book::Target;
use crate::support::client::Client;
use crate::support::process::Service;
use crate::support::server;
use std::path::Path;
use std::time::{Duration, Instant};

const HOSTS_OF_AN_ARRAY: usize = 25;
const FILES: usize = 9999;
/// Arrays of 300 hosts.
const SOME: usize = 12;
/// Arrays of some 60 MB.
const ALL: usize = 60;
const BOUND_MIB: f64 = 192.0;
/// What a server frees at once, it has given back after so long.
const SETTLES: Duration = Duration::from_secs(2);

pub fn run(beside: &mut Beside) {
    three_hundred(beside);
    let name = "arrays of 25 hosts with 9,999 files each";
    let database = beside.database("files");
    let server = server::start_logged(&database);
    let gap = beside.plan.stretch.mul_f64(0.8 / ALL as f64);
    let (_, took) = beside.stretches(name, &server, &[], |_| {
        let (mut client, begun) = (Client::new(server.port), Instant::now());
        (0..ALL)
            .map(|n| {
                let (request, due) = (of_hosts(n), begun + gap * n as u32);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                client.must(&request)
            })
            .collect::<Vec<_>>()
    });
    let (resident, peak) = (settled(&server), server.memory("VmHWM"));
    let after = restarted(server, &database);
    beside.book.row(name, "ms", &took);
    beside.book.row("1,500 hosts with 9,999 files: resident memory", "MiB", &[resident]);
    beside.book.row("1,500 hosts with 9,999 files: highest memory", "MiB", &[peak]);
    beside.book.row("1,500 hosts with 9,999 files: resident memory after a start", "MiB", &[after]);
}

fn three_hundred(beside: &mut Beside) {
    let name = "300 hosts with 9,999 files each";
    let database = beside.database("some-files");
    let server = server::start_logged(&database);
    let mut client = Client::new(server.port);
    for n in 0..SOME {
        client.must(&of_hosts(n));
    }
    let resident = settled(&server);
    let after = restarted(server, &database);
    for (memory, when) in [(resident, ""), (after, " after a start")] {
        let label = format!("{name}: resident memory{when}");
        beside.book.verdict(label, "", "MiB", &[memory], Target::at_most(BOUND_MIB));
    }
}

fn settled(server: &Service) -> f64 {
    std::thread::sleep(SETTLES);
    server.memory("VmRSS")
}

fn restarted(server: Service, database: &Path) -> f64 {
    server.stop();
    let server = server::start_logged(database);
    let resident = settled(&server);
    server.stop();
    resident
}

/// An array of some 1 MB: names of one character, in another order for each host.
fn of_hosts(n: usize) -> Vec<u8> {
    let letters: Vec<char> = ('#'..='~').filter(|letter| *letter != '\\').collect();
    let files = |host: usize| {
        let mut state = host as u64 + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let letter = letters[(state >> 33) as usize % letters.len()];
            format!("\"{letter}\"")
        };
        (0..FILES).map(|_| next()).collect::<Vec<_>>().join(",")
    };
    let report = |host| {
        let files = files(host);
        format!(
            r#"{{"server_group":"files","host":"host-{host:04}","status":"out_of_sync","changed_files":[{files}]}}"#
        )
    };
    let first = n * HOSTS_OF_AN_ARRAY;
    array("/status/pipeline", (first..first + HOSTS_OF_AN_ARRAY).map(report))
}
