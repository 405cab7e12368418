//! `/history` as CSV and NDJSON: complete, in order, safe in a spreadsheet.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::{Value, json};

const COLUMNS: &str = "v,origin,id,kind,source,server_group,host,time,reported_at,received_at,\
    status,changed_files,declared_count,max_age,project_name,repo_name,server_type,environment,\
    validation_status,validation_message,commit_sha,branch,updated_by,last_pipeline_run,\
    last_cron_check,labels,run_id,run_url,late,transition,reported_by,remote_address,reason,detail,\
    status_code,changed_files_count,changed_files_text,hash";

/// Header and records of a CSV body.
fn csv(server: &Server, query: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let answer = server.get(&format!("/history?format=csv{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut reader = csv::Reader::from_reader(&*answer.body);
    let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
    let header = cells(reader.headers().unwrap());
    (header, reader.records().map(|record| cells(&record.unwrap())).collect())
}

fn column(records: &[Vec<String>], name: &str) -> Vec<String> {
    let at = COLUMNS.split(',').position(|column| column == name).unwrap();
    records.iter().map(|record| record[at].clone()).collect()
}

#[test]
fn csv_begins_with_its_columns_even_when_nothing_matches() {
    let server = Server::start();
    let answer = server.get("/history?format=csv");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), format!("{COLUMNS}\r\n"));
    assert!(answer.header("content-type").starts_with("text/csv"));
    let disposition = answer.header("content-disposition");
    assert!(disposition.starts_with("attachment") && disposition.contains(".csv"), "{disposition}");
    let lines = server.get("/history?format=ndjson");
    assert_eq!((lines.status, lines.body.len()), (200, 0));
    assert!(lines.header("content-disposition").contains("ndjson"), "telling");
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
}

#[test]
fn csv_has_the_items_of_the_json_page_cell_by_cell() {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g,1", "h \"q\"", "2026-04-26T11:00:00Z"),
        &json!({"status":"out_of_sync","changed_files":["/a,b",{"path":"/c","kind":"mode"}],
            "validation_message":"two\nlines, \"quoted\"","labels":{"a":"b"}}),
    ));
    server.cron(&json!({"server_group":"g,1","host":"h \"q\""}));
    let items = server.json("/history?sort=id")["items"].clone();
    let (header, records) = csv(&server, "&sort=id");
    assert_eq!(header.join(","), COLUMNS);
    assert_eq!(records.len(), 2);
    for (item, record) in items.as_array().unwrap().iter().zip(&records) {
        for (name, cell) in header.iter().zip(record) {
            let shown = match &item[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(*cell, shown, "{name}");
        }
    }
    let body = server.get("/history?format=csv").text();
    assert!(body.ends_with("\r\n"));
    assert!(body.contains("\"two\nlines, \"\"quoted\"\"\""), "{body}");
}

#[test]
fn csv_is_safe_in_a_spreadsheet_unless_raw() {
    let server = Server::start();
    let plain = [
        "=1+1",
        "+1",
        "-1",
        "@a",
        "'a",
        "\tx",
        "\rx",
        "＝1+1",
        "＋1",
        "－1",
        "＠a",
        " =1",
        "\u{a0}+1",
        "\u{200b}-1",
        "\n@a",
        "\u{feff} \u{2060}\u{a0}＝1",
        " a=b",
        "\u{200b}x",
        "a=b",
        "plain",
    ];
    for text in plain {
        server.pipeline(&with(
            json!({"server_group":"g","host":"=h","status":"failed"}),
            &json!({"validation_message":text,"changed_files":[text]}),
        ));
    }
    let guarded: Vec<String> = plain
        .iter()
        .enumerate()
        .map(|(at, text)| if at < 16 { format!("'{text}") } else { (*text).to_owned() })
        .collect();
    let (_, records) = csv(&server, "&sort=id");
    assert_eq!(column(&records, "validation_message"), guarded);
    assert_eq!(column(&records, "changed_files_text"), guarded);
    assert_eq!(column(&records, "host"), vec!["'=h"; 20]);
    let (_, records) = csv(&server, "&sort=id&raw=true");
    assert_eq!(column(&records, "validation_message"), plain);
    assert_eq!(column(&records, "changed_files_text"), plain);
    assert_eq!(column(&records, "host"), vec!["=h"; 20]);
}

#[test]
fn streams_take_every_filter_order_and_limit() {
    let server = Server::start();
    for (host, time) in [("a", "11:00"), ("b", "10:00"), ("a", "10:30"), ("b", "11:30")] {
        server.pipeline(&pipeline_report("g", host, &format!("2026-04-26T{time}:00Z")));
    }
    for (query, expected) in [
        ("", vec!["4", "1", "3", "2"]),
        ("&order=asc", vec!["2", "3", "1", "4"]),
        ("&order=asc&limit=2", vec!["2", "3"]),
        ("&host=a", vec!["1", "3"]),
        ("&sort=id&after_id=2", vec!["3", "4"]),
        ("&from=2026-04-26T10:30:00Z&to=2026-04-26T11:30:00Z", vec!["1", "3"]),
    ] {
        let (_, records) = csv(&server, query);
        assert_eq!(column(&records, "id"), expected, "{query}");
        let lines = server.get(&format!("/history?format=ndjson{query}")).text();
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
        assert_eq!(lines.lines().map(id).collect::<Vec<_>>(), expected, "{query}");
    }
    let host = server.get("/history/g/b?format=ndjson").text();
    assert_eq!(host.lines().count(), 2);
    assert_eq!(server.get("/history?format=csv&from=x").wrong_fields(), ["from"]);
}

#[test]
fn a_stream_of_many_thousand_rows_is_complete_and_the_same_in_every_form() {
    const ROWS: usize = 6100;
    let server = Server::start();
    for chunk in 0..7 {
        let rows = chunk * 1000..ROWS.min((chunk + 1) * 1000);
        let report = |at: usize| {
            // Many rows share a time, and some come late.
            let minute = if at.is_multiple_of(40) { at / 30 } else { at / 20 };
            let time = format!("2026-04-26T0{}:{:02}:00Z", minute / 60, minute % 60);
            let host = format!("h{}", at % 3);
            with(pipeline_report("g", &host, &time), &json!({"commit_sha":at.to_string()}))
        };
        server.pipeline(&rows.map(report).collect());
    }
    let parse = |text: String| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let by_id = parse(server.get("/history?format=ndjson&sort=id").text());
    assert_eq!(by_id.len(), ROWS);
    for (at, line) in by_id.iter().enumerate() {
        assert_eq!(line["id"], (at + 1).to_string());
    }
    let mut expected = by_id.clone();
    expected.sort_by_key(|line| {
        let id: u64 = line["id"].as_str().unwrap().parse().unwrap();
        (line["time"].as_str().unwrap().to_owned(), id)
    });
    assert!(parse(server.get("/history?format=ndjson&order=asc").text()) == expected);
    expected.reverse();
    assert!(parse(server.get("/history?format=ndjson").text()) == expected);
    let (_, records) = csv(&server, "");
    let ids: Vec<&str> = expected.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(column(&records, "id") == ids);
    let one = parse(server.get("/history/g/h1?format=ndjson").text());
    let of_host = expected.iter().filter(|line| line["host"] == "h1").cloned();
    assert!(one == of_host.collect::<Vec<_>>());
    let limited = parse(server.get("/history?format=ndjson&limit=4321").text());
    assert!(limited == expected[..4321]);
}

#[test]
fn a_stream_leaves_out_what_arrives_while_it_runs() {
    let server = Server::start();
    let report = |at: usize| {
        let report = json!({"server_group":"g","host":"h","status":"synced"});
        with(report, &json!({"commit_sha":at.to_string()}))
    };
    for chunk in 0..5 {
        server.pipeline(&(chunk * 1000..(chunk + 1) * 1000).map(report).collect());
    }
    let answered = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..20 {
                server.cron(&check("g", "h", "synced", "2026-04-20T00:00:00Z"));
            }
        });
        let lines = server.raw_lines();
        writing.join().unwrap();
        lines
    });
    let ids: Vec<usize> = answered
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["id"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(ids, (1..=ids.len()).collect::<Vec<_>>());
    assert!(ids.len() >= 5000);
}
