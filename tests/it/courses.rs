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

#[test]
fn projections_are_the_fold_whatever_the_order_of_arrival() {
    let batches = prop::collection::vec(prop::collection::vec(report(), 1..6), 1..16);
    let config =
        Config { cases: 60, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    TestRunner::new(config)
        .run(&batches, |batches| {
            let server = Server::start();
            for (at, batch) in batches.iter().enumerate() {
                if at % 3 == 0 {
                    server.clock.advance(3600 * 5);
                }
                server.post("/status/cron?create=true", &json!(batch)).ok();
                let verdict = verdict(&server);
                prop_assert_eq!(verdict.differences, vec![]);
            }
            Ok(())
        })
        .unwrap();
}
