//! Current state, segments and episodes are the fold of the history by (time, id), in whatever order
//! and company the reports arrive.

use crate::harness::Server;
use gitops_status_server::store::{Dictionary, Location, Verdict, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// What `verify --refold` finds in a database.
pub fn verdict(server: &Server) -> Verdict {
    let location = Location { path: server.database() };
    let run = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    run.block_on(verify(&location, &Dictionary::default(), &|_, _| {})).unwrap()
}

/// Reports, or an act on a host: its path and body.
#[derive(Debug, Clone)]
enum Arrival {
    Reports(Vec<Value>),
    Act(String, Value),
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let host = 0..3_u8;
    let retire = host.clone().prop_map(|host| {
        Arrival::Act(format!("/hosts/g/h{host}/retire"), json!({"reason":"gone"}))
    });
    let alias = (host.clone(), host).prop_map(|(new, old)| {
        let of = json!({"alias_of":{"server_group":"g","host":format!("h{old}")}});
        Arrival::Act(format!("/hosts/g/h{new}/alias"), of)
    });
    prop_oneof![
        8 => prop::collection::vec(report(), 1..6).prop_map(Arrival::Reports),
        1 => retire,
        1 => alias,
    ]
}

fn report() -> impl Strategy<Value = Value> {
    let status = prop::option::weighted(
        0.7,
        prop::sample::select(&["synced", "out_of_sync", "out_of_sync", "failed", "unknown"]),
    );
    let files = prop::option::of(prop::collection::vec(prop::sample::select(&["/a", "/b"]), 0..3));
    let max_age = prop::sample::select(&[600, 7200, 400_000]);
    // Half hours over three days, so that times collide, silences and midnights happen.
    let time = prop::option::weighted(0.9, 0..144_u32);
    (0..2_u8, status, files, time, max_age).prop_map(|(host, status, files, slot, max_age)| {
        let time = slot.map(|slot| {
            format!("2026-04-{:02}T{:02}:{:02}:00Z", 23 + slot / 48, slot / 2 % 24, slot % 2 * 30)
        });
        json!({"server_group":"g","host":format!("h{host}"),"status":status,"changed_files":files,
            "last_cron_check":time,"max_age":max_age})
    })
}

/// What is asked after each arrival, and again at the end, as of then.
const PAST: [&str; 4] = [
    "/reviews?from=2026-04-23T07:15:00Z&group_by=host",
    "/timeline?from=2026-04-23T10:00:00Z",
    "/timeline?step=7h",
    "/episodes?order=asc",
];

fn check(arrivals: &[Arrival]) -> Result<(), TestCaseError> {
    let server = Server::start();
    let (mut looks, mut known) = (Vec::new(), 0);
    for (at, arrival) in arrivals.iter().enumerate() {
        server.clock.advance(if at % 3 == 0 { 3600 * 5 } else { 1 });
        match arrival {
            Arrival::Reports(reports) => {
                server.post("/status/cron?create=true", &json!(reports)).ok();
            }
            // Refused where it makes no sense.
            Arrival::Act(path, body) => {
                let status = server.post(path, body).status;
                prop_assert!([200, 404, 409].contains(&status), "{}", status);
            }
        }
        let verdict = verdict(&server);
        prop_assert_eq!(verdict.differences, vec![]);
        let now = server.clock.now();
        let present = server.json("/status");
        prop_assert_eq!(&server.json(&format!("/status?at={now}")), &present);
        // `as_of` ends at the newest entry: comparable only where that has just come.
        if verdict.entries > known {
            known = verdict.entries;
            looks.push((now, known, present, PAST.map(|path| server.json(path))));
        }
    }
    // However much is known by now.
    for (now, size, present, past) in looks {
        let then = format!("/status?server_group=g&at={now}&known_at={now}");
        prop_assert_eq!(server.json(&then), present, "{}", then);
        for (path, then) in PAST.iter().zip(past) {
            let sign = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{sign}as_of={size}");
            prop_assert_eq!(server.json(&path), then, "{}", path);
        }
    }
    Ok(())
}

#[test]
fn projections_are_the_fold_and_the_past_stays_what_it_was_whatever_arrives() {
    let arrivals = prop::collection::vec(arrival(), 1..16);
    let config =
        Config { cases: 60, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    TestRunner::new(config).run(&arrivals, |arrivals| check(&arrivals)).unwrap();
}
