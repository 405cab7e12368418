//! The filters of `/history`: on the host by its current row, on the report as it was said.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::{Value, json};

fn ids(server: &Server, query: &str) -> Vec<u64> {
    let page = server.json(&format!("/history?sort=id&{query}"));
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// Eight entries of four hosts, with something for every filter.
fn server() -> Server {
    let server = Server::start();
    let reports = [
        // 1: what the host was then does not count, its current row (4) does.
        with(pipeline_report("web", "a", "2026-04-26T08:00:00Z"), &json!({"environment":"old"})),
        with(
            pipeline_report("web", "b", "2026-04-26T08:30:00Z"),
            &json!({"status":"out_of_sync","changed_files":["/etc/nginx/a.conf","/etc/100%_x"],
                "environment":"test","server_type":"nginx","repo_name":"r","project_name":"p"}),
        ),
        with(
            pipeline_report("db", "a", "2026-04-26T09:00:00Z"),
            &json!({"status":"failed","commit_sha":"c1","branch":"main","updated_by":"ann",
                "run_id":"7"}),
        ),
        with(
            pipeline_report("web", "a", "2026-04-26T10:00:00Z"),
            &json!({"environment":"prod","commit_sha":"c2","branch":"dev"}),
        ),
    ];
    for report in reports {
        server.pipeline(&report);
    }
    // 5 and 6
    server.cron(&with(
        check("web", "a", "out_of_sync", "2026-04-26T11:00:00Z"),
        &json!({"changed_files":[{"path":"/etc/nginx/b.conf","kind":"modified"}],"run_id":"8"}),
    ));
    server.cron(&json!({"server_group":"web","host":"a"}));
    // 7
    let v1 = json!({"repo":"lab","server":"x","sync_status":"UNKNOWN","files":[{"name":"motd"}]});
    server.post("/api/status", &v1).ok();
    // 8
    server.cron(&check("db", "a", "failed", "2026-04-26T09:00:00.000001Z"));
    server
}

#[test]
fn every_filter_filters() {
    let server = server();
    for (query, expected) in [
        ("server_group=web", vec![1, 2, 4, 5, 6]),
        ("server_group=web&server_group=lab", vec![1, 2, 4, 5, 6, 7]),
        ("host=a", vec![1, 3, 4, 5, 6, 8]),
        ("host=a&server_group=db", vec![3, 8]),
        ("environment=prod", vec![1, 4, 5, 6]),
        ("environment=old", vec![]),
        ("environment=prod&environment=test", vec![1, 2, 4, 5, 6]),
        ("server_type=nginx", vec![2]),
        ("repo_name=r&repo_name=lab", vec![2, 7]),
        ("project_name=p", vec![2]),
        ("status=failed", vec![3, 8]),
        ("status=OUT_OF_SYNC&status=unknown", vec![2, 5, 7]),
        ("source=cron", vec![5, 6, 8]),
        ("source=legacy&source=pipeline", vec![1, 2, 3, 4, 7]),
        ("source=import", vec![]),
        ("kind=report", vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("kind=retire", vec![]),
        ("commit_sha=c1&commit_sha=c2", vec![3, 4]),
        ("branch=main", vec![3]),
        ("updated_by=ann", vec![3]),
        ("run_id=7&run_id=8", vec![3, 5]),
        ("changes_only=true", vec![1, 2, 3, 5, 7]),
        ("changes_only=false", vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("changes_only=true&host=a&status=failed", vec![3]),
        ("host=nobody", vec![]),
        ("host=&status=&from=", vec![1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        assert_eq!(ids(&server, query), expected, "{query}");
    }
}

#[test]
fn files_are_found_by_path_or_prefix() {
    let server = server();
    for (query, expected) in [
        ("file=/etc/nginx/a.conf", vec![2]),
        ("file=/etc/nginx/b.conf", vec![5]),
        ("file=/etc/nginx/*", vec![2, 5]),
        ("file=/etc/nginx/a.conf&file=motd", vec![2, 7]),
        ("file=/etc/nginx", vec![]),
        ("file=nginx/*", vec![]),
        ("file=/ETC/nginx/*", vec![]),
        ("file=*", vec![2, 5, 7]),
        ("file=/etc/100%25_*", vec![2]),
        ("file=/etc/1__%25_x", vec![]),
        ("file=/etc/%25", vec![]),
        ("file=/etc/?ginx/a.conf", vec![]),
    ] {
        assert_eq!(ids(&server, query), expected, "{query}");
    }
}

#[test]
fn from_is_inclusive_and_to_exclusive_in_every_form() {
    let server = server();
    let nine = 1_777_194_000_u64; // 2026-04-26T09:00:00Z
    for (query, expected) in [
        ("from=2026-04-26T09:00:00Z&to=2026-04-26T10:00:00Z".into(), vec![3, 8]),
        ("from=2026-04-26T09:00:00.000001Z&to=2026-04-26T10:00:00.1Z".into(), vec![4, 8]),
        ("to=2026-04-26T09:00:00.000001000Z".into(), vec![1, 2, 3]),
        ("from=2026-04-26T12:00:00%2B03:00&to=2026-04-26T12:00:01%2B03:00".into(), vec![3, 8]),
        (format!("from={nine}&to={}", nine + 1), vec![3, 8]),
        (format!("from={nine}000&to={nine}001"), vec![3, 8]),
        ("from=2026-04-26&to=2026-04-27".into(), vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("from=2026-04-27".into(), vec![]),
        ("to=2026-04-26".into(), vec![]),
        ("from=now-2h".into(), vec![4, 5, 6, 7]),
        ("from=now-121m&to=now-1h".into(), vec![4]),
        ("from=now-90d&to=now".into(), vec![1, 2, 3, 4, 5, 8]),
        ("from=now".into(), vec![6, 7]),
    ] {
        assert_eq!(ids(&server, &query), expected, "{query}");
    }
}

#[test]
fn a_time_that_is_none_is_400_and_an_unexpanded_macro_is_named() {
    let server = server();
    for from in
        ["yesterday", "12345", "177719400", "17771940000000", "now-", "now-1y", "2026-13-01"]
    {
        let refused = server.get(&format!("/history?from={from}"));
        assert_eq!(refused.wrong_fields(), ["from"], "{from}");
    }
    for from in ["${__from}", "$%7B__timeFrom%7D", "${__from:date:iso}"] {
        let from = from.replace('{', "%7B").replace('}', "%7D");
        let refused = server.get(&format!("/history?from={from}&to={from}"));
        assert_eq!(refused.wrong_fields(), ["from", "to"], "{from}");
        let problem: Value = serde_json::from_slice(&refused.body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("macro"), "{problem}");
    }
}

#[test]
fn wrong_words_and_flags_are_400_all_at_once() {
    let server = server();
    let refused = server.get(
        "/history?status=fine&source=me&kind=x&order=up&sort=size&changes_only=maybe&limit=0\
         &format=xml&from=x&after_id=-1",
    );
    let mut fields = refused.wrong_fields();
    fields.sort();
    assert_eq!(
        fields,
        [
            "after_id",
            "changes_only",
            "format",
            "from",
            "kind",
            "limit",
            "order",
            "sort",
            "source",
            "status"
        ]
    );
}

#[test]
fn the_path_is_one_more_filter() {
    let server = server();
    let page = server.json("/history/web/a?status=out_of_sync");
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["id"], "5");
    assert_eq!(server.json("/history/web/none"), json!({"items":[],"next_cursor":null}));
    assert_eq!(server.json("/history/none/a"), json!({"items":[],"next_cursor":null}));
}
