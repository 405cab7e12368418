//! Reports count in the order of (time, id), whatever the order of their arrival.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::{Value, json};

fn said(time: &str, status: &str, files: &Value) -> Value {
    with(check("g", "h", status, time), &json!({"changed_files":files}))
}

#[test]
fn a_late_report_never_overwrites_what_was_said_later() {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T11:00:00Z"),
        &json!({"commit_sha":"new","environment":"prod"}),
    ));
    server.cron(&said("2026-04-26T11:10:00Z", "failed", &json!(["/x"])));
    let before = server.row("g", "h");
    let late = server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        &json!({"commit_sha":"old","status":"unknown","changed_files":["/old"]}),
    ));
    assert_eq!(late["report"]["late"], true);
    assert_eq!(late["report"]["transition"], "changed");
    let late = server.cron(&said("2026-04-26T10:30:00Z", "synced", &json!([])));
    assert_eq!(late["report"]["late"], true);
    assert_eq!(server.row("g", "h"), with(before, &json!({"reports":4})));
    let lates: Vec<Value> = server.lines().iter().map(|line| line["late"].clone()).collect();
    assert_eq!(lates, [json!(0), json!(0), json!(1), json!(1)]);
}

#[test]
fn late_is_judged_within_a_kind_and_equal_times_are_not_late() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    for (time, run, late) in [
        ("2026-04-26T10:00:00Z", "1", false),
        ("2026-04-26T10:00:00Z", "2", false),
        ("2026-04-26T09:59:59.999999Z", "3", true),
    ] {
        let answer = server.cron(&with(check("g", "h", "failed", time), &json!({"run_id":run})));
        assert_eq!(answer["report"]["late"], late, "{time}");
    }
    let same = with(pipeline_report("g", "h", "2026-04-26T11:00:00Z"), &json!({"branch":"b"}));
    let answer = server.pipeline(&same);
    assert_eq!(answer["report"]["late"], false);
    assert_eq!(answer["status"]["branch"], "b", "of equal times the later id wins");
}

#[test]
fn a_late_synced_report_moves_the_start_of_the_open_drift() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T08:00:00Z"));
    server.cron(&check("g", "h", "out_of_sync", "2026-04-26T09:00:00Z"));
    server.cron(&check("g", "h", "out_of_sync", "2026-04-26T11:00:00Z"));
    let late = server.cron(&check("g", "h", "synced", "2026-04-26T10:00:00Z"));
    assert_eq!(late["report"]["transition"], "closed");
    assert_eq!(late["report"]["drift_since"], "2026-04-26T11:00:00Z");
    let earlier = server.cron(&check("g", "h", "out_of_sync", "2026-04-26T10:30:00Z"));
    assert_eq!(earlier["report"]["transition"], "opened");
    assert_eq!(earlier["report"]["drift_since"], "2026-04-26T10:30:00Z");
    assert_eq!(earlier["status"]["status"], "out_of_sync");
}

#[test]
fn a_report_from_the_future_counts_from_its_arrival() {
    let server = Server::start();
    let soon = server.pipeline(&pipeline_report("g", "soon", "2026-04-26T12:05:00Z"));
    assert_eq!(soon["warnings"], json!([]));
    assert_eq!(soon["status"]["timestamp"], "2026-04-26T12:00:00Z");
    let future = server.pipeline(&pipeline_report("g", "h", "2026-04-26T12:05:00.000001Z"));
    assert_eq!(future["warnings"].as_array().unwrap().len(), 1, "{future}");
    assert_eq!(future["status"]["last_pipeline_run"], "2026-04-26T12:00:00Z");
    let line = &server.lines()[1];
    assert_eq!(line["time"], "2026-04-26T12:00:00Z");
    assert_eq!(line["reported_at"], "2026-04-26T12:05:00.000001Z");
}

#[test]
fn the_time_of_arrival_never_decreases() {
    let server = Server::start();
    server.pipeline(&json!({"server_group":"g","host":"h","status":"synced"}));
    server.clock.set("2026-04-26T11:00:00Z");
    let answer = server.pipeline(&json!({"server_group":"g","host":"h","status":"failed"}));
    assert_eq!(answer["report"]["late"], false);
    assert_eq!(answer["status"]["status"], "failed");
    server.clock.set("2026-04-26T12:00:01Z");
    server.pipeline(&json!({"server_group":"g","host":"h","status":"unknown"}));
    let times: Vec<Value> = server.lines().iter().map(|line| line["received_at"].clone()).collect();
    assert_eq!(times, ["2026-04-26T12:00:00Z", "2026-04-26T12:00:00Z", "2026-04-26T12:00:01Z"]);
}

#[test]
fn an_array_is_recorded_in_its_order_with_a_row_and_a_receipt_each() {
    let server = Server::start();
    let answer = server.pipeline(&json!([
        {"server_group":"g","host":"a","status":"out_of_sync"},
        {"server_group":"g","host":"b","status":"synced","colour":"red"},
        {"server_group":"g","host":"a","status":"synced"},
        {"server_group":"g","host":"a","status":"failed","last_pipeline_run":"2026-04-26T11:00:00Z"},
    ]));
    let part = |list: &str, name: &str| -> Vec<Value> {
        answer[list].as_array().unwrap().iter().map(|row| row[name].clone()).collect()
    };
    assert_eq!(part("reports", "id"), ["1", "2", "3", "4"]);
    assert_eq!(part("reports", "transition"), ["opened", "changed", "closed", "changed"]);
    assert_eq!(part("reports", "late"), [json!(false), json!(false), json!(false), json!(true)]);
    assert_eq!(part("statuses", "status"), ["out_of_sync", "synced", "synced", "synced"]);
    assert_eq!(part("statuses", "reports"), [1, 1, 2, 3]);
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 1);
    assert!(answer["warnings"][0].as_str().unwrap().starts_with("[1] colour"), "{answer}");
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
}

#[test]
fn an_array_of_one_is_answered_as_an_array() {
    let server = Server::start();
    let answer = server.pipeline(&json!([{"server_group":"g","host":"a","status":"synced"}]));
    assert_eq!(answer["statuses"].as_array().unwrap().len(), 1);
    assert_eq!(answer["reports"].as_array().unwrap().len(), 1);
}

#[test]
fn an_array_with_one_bad_element_stores_nothing() {
    let server = Server::start();
    let refused = server.post(
        "/status/pipeline",
        &json!([
            {"server_group":"g","host":"a","status":"synced"},
            {"server_group":"g","status":"fine"},
            7,
        ]),
    );
    assert_eq!(refused.wrong_fields(), ["[1].host", "[1].status", "[2]."]);
    server.post("/status/pipeline", &json!([])).problem(400);
    let report = json!({"server_group":"g","host":"a","status":"synced"});
    server.post("/status/pipeline", &json!(vec![report.clone(); 1001])).problem(400);
    assert_eq!(server.lines(), Vec::<Value>::new());
    server.pipeline(&json!(vec![report; 1000]));
    assert_eq!(server.row("g", "a")["reports"], 1000);
}

#[test]
fn an_array_of_checks_with_one_unknown_host_stores_nothing() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "a", "2026-04-26T10:00:00Z"));
    let problem = server
        .post(
            "/status/cron",
            &json!([{"server_group":"g","host":"a"}, {"server_group":"g","host":"aa"}]),
        )
        .problem(404);
    assert_eq!(problem["errors"][0]["index"], 1);
    assert_eq!(server.lines().len(), 1);
    assert_eq!(server.json("/rejections")[0]["host"], "aa");
}
