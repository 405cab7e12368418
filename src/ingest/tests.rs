//! What comes in, what it becomes, and that nothing a sender writes makes us panic.

use super::*;
use crate::domain::report::Status;
use proptest::prelude::*;

fn ages() -> StaleAfter {
    StaleAfter::parse("26h", "").unwrap()
}

fn parsed(source: Source, body: &str) -> Parsed {
    parse_body(source, body.as_bytes(), &ages()).unwrap()
}

/// The errors as `field: message` lines, or the JSON problem.
fn refused(source: Source, body: &str) -> String {
    match parse_body(source, body.as_bytes(), &ages()).unwrap_err() {
        Refusal::Json(problem) => problem,
        Refusal::Fields { errors, .. } => errors
            .iter()
            .map(|error| match error.index {
                Some(index) => format!("[{index}] {}: {}", error.field, error.message),
                None => format!("{}: {}", error.field, error.message),
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

const CRON: &str = r#"{"server_group":"g","host":"h""#;

#[test]
fn all_wrong_fields_are_named_at_once() {
    let body = r#"[{"server_group":"g","host":"h","status":"synced"},
        {"host":"  ","status":"fine","changed_files":"/etc/a","max_age":0,"labels":{"a":1},
         "commit_sha":7,"last_pipeline_run":"yesterday"}, 3]"#;
    assert_eq!(
        refused(Source::Pipeline, body),
        "[1] server_group: is required\n\
         [1] host: must not be empty or blank\n\
         [1] max_age: must be an integer from 1 to 315360000\n\
         [1] changed_files: must be a list of paths, not a string\n\
         [1] commit_sha: must be a string, not a number\n\
         [1] labels: \"a\" must be a string, not a number\n\
         [1] status: must be one of synced, out_of_sync, failed, unknown\n\
         [1] last_pipeline_run: is not a time; write it like 2026-04-26T10:30:00Z or \
         2026-04-26 10:30:00 +03:00\n\
         [2] : must be an object, not a number"
    );
}

#[test]
fn every_repair_is_named_in_a_warning() {
    let body = r#"{"server_group":" g ","host":"h","status":"SYNCED","changed_files":["/a"],
        "commit_sha":"","branch":null,"color":"red","last_cron_check":"2026-04-26T10:00:00Z",
        "validation_status":"Passed"}"#;
    let parsed = parsed(Source::Pipeline, body);
    assert_eq!(&*parsed.reports[0].key.server_group, "g");
    assert_eq!(parsed.reports[0].content.status, Some(Status::Synced));
    assert_eq!(parsed.reports[0].content.last_cron_check, None);
    assert_eq!(
        parsed.warnings,
        [
            "validation_status was read as passed",
            "commit_sha is empty, taken as missing",
            "branch is null, taken as missing",
            "status was read as synced",
            "last_cron_check belongs to cron reports and was ignored",
            "changed_files names 1 although the status is synced; kept as sent",
            "color is not known here and was ignored",
        ]
    );
}

#[test]
fn a_check_never_carries_pipeline_fields() {
    let body = format!(
        r#"{CRON},"commit_sha":"abc","branch":"x","validation_status":"nonsense","status":"failed"}}"#
    );
    let parsed = parsed(Source::Cron, &body);
    let content = &parsed.reports[0].content;
    assert_eq!((content.commit_sha.as_deref(), content.branch.as_deref()), (Some("abc"), None));
    assert_eq!(parsed.warnings.len(), 2);
}

#[test]
fn files_come_as_paths_or_objects() {
    let sha = "AB".repeat(32);
    let body = format!(
        r#"{CRON},"changed_files":["/a",{{"name":"b"}},{{"path":"c","kind":"mode","sha256":"{sha}"}}]}}"#
    );
    let parsed = parsed(Source::Cron, &body);
    assert_eq!(
        serde_json::to_string(&parsed.reports[0].content.changed_files).unwrap(),
        format!(r#"["/a","b",{{"kind":"mode","path":"c","sha256":"{}"}}]"#, sha.to_lowercase())
    );
    for wrong in [r#"[""]"#, "[1]", r#"[{"kind":"mode"}]"#, r#"[{"path":"a","kind":"gone"}]"#] {
        let body = format!(r#"{CRON},"changed_files":{wrong}}}"#);
        assert!(refused(Source::Cron, &body).starts_with("changed_files[0]: "), "{wrong}");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let files = |count: usize| {
        let list = vec!["\"a\""; count].join(",");
        format!(r#"{CRON},"changed_files":[{list}]}}"#)
    };
    assert_eq!(parsed(Source::Cron, &files(10_000)).reports[0].content.files_count(), 10_000);
    assert!(refused(Source::Cron, &files(10_001)).contains("at most 10000"));
    let path = |bytes| format!(r#"{CRON},"changed_files":["{}"]}}"#, "x".repeat(bytes));
    parsed(Source::Cron, &path(4096));
    refused(Source::Cron, &path(4097));
    let age = |seconds: &str| format!(r#"{CRON},"max_age":{seconds}}}"#);
    parsed(Source::Cron, &age("315360000"));
    for wrong in ["0", "315360001", "-1", "1.0", "1e3", "\"60\"", "99999999999999999999"] {
        refused(Source::Cron, &age(wrong));
    }
    let labels = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|n| format!(r#""l{n}":"v""#)).collect();
        format!(r#"{CRON},"labels":{{{}}}}}"#, pairs.join(","))
    };
    parsed(Source::Cron, &labels(16));
    refused(Source::Cron, &labels(17));
    assert_eq!(parsed(Source::Cron, &labels(0)).reports[0].content.labels, None);
    let array = |count: usize| format!("[{}]", vec![format!("{CRON}}}"); count].join(","));
    assert_eq!(parsed(Source::Cron, &array(1000)).reports.len(), 1000);
    refused(Source::Cron, &array(1001));
    refused(Source::Cron, "[]");
    let message = |bytes| {
        format!(r#"{CRON},"status":"synced","validation_message":"{}ж"}}"#, "x".repeat(bytes - 1))
    };
    let cut = parsed(Source::Pipeline, &message(MESSAGE_MAX_BYTES));
    let kept = cut.reports[0].content.validation_message.as_ref().unwrap().len();
    assert_eq!(kept, MESSAGE_MAX_BYTES - 1, "cut before the character that does not fit");
    assert_eq!(cut.warnings, ["validation_message was cut to 65536 bytes"]);
}

#[test]
fn json_is_taken_strictly() {
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    for (body, says) in [
        (r#"{"host":"a","host":"b"}"#, "duplicate key \"host\""),
        (r#"{"x":{"a":1,"a":2}}"#, "duplicate key \"a\""),
        (r#"{"host":"a\u0000"}"#, "NUL"),
        (r#"{"a\u0000":1}"#, "NUL"),
        (r#"{"host":"\ud800"}"#, "hex escape"),
        (r#"{"host":"a"} x"#, "trailing characters"),
        ("\u{feff}{}", "expected value"),
        ("", "the body is empty"),
        ("{", "EOF"),
        ("NaN", "expected value"),
        ("[1e999]", "number out of range"),
        (&deep, "deeper than 128"),
    ] {
        let problem = refused(Source::Cron, body);
        assert!(problem.contains(says), "{body}: {problem}");
    }
    let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":0,")).collect();
    let many = many.concat();
    let problem = refused(Source::Cron, &format!("{{{many}\"k99\":0}}"));
    assert!(problem.contains("duplicate key \"k99\""), "{problem}");
}

#[test]
fn both_generations_of_status_files_are_taken_over() {
    let v1 = r#"{"repo":"rsyslog","server":"lab","sync_status":"OUT_OF_SYNC","drift_count":3,
        "files":["a",{"name":"b"}],"last_check":"2026-04-26T10:30:00Z"}"#;
    let report = &status_file::parse(v1.as_bytes(), &ages()).unwrap()[0];
    assert_eq!(report.key.to_string(), "rsyslog/lab");
    assert_eq!(report.reported_at, report.content.last_cron_check);
    assert_eq!(report.content.declared_count, Some(3));
    let v2 = r#"{"version":"2.0","servers":{"g/h/1":{"status":"synced","commit_sha":null,
        "changed_files":[],"last_pipeline_run":"2026-04-26T10:00:00Z",
        "last_cron_check":"2026-04-26T11:00:00Z"}}}"#;
    let report = &status_file::parse(v2.as_bytes(), &ages()).unwrap()[0];
    assert_eq!(report.key, crate::domain::names::HostKey::new("g", "h/1"));
    assert_eq!(report.reported_at, report.content.last_cron_check);
    for fresh in
        ["", " \n", "{}", r#"{"servers":{}}"#, r#"{"repo":"","server":"","sync_status":"UNKNOWN"}"#]
    {
        assert!(status_file::parse(fresh.as_bytes(), &ages()).unwrap().is_empty(), "{fresh}");
    }
    let broken = r#"{"servers":{"g/h":{"status":"fine"},"x":{"status":"synced"}}}"#;
    assert_eq!(
        status_file::parse(broken.as_bytes(), &ages()).unwrap_err(),
        "servers[\"g/h\"].status: must be one of synced, out_of_sync, failed, unknown\n\
         servers[\"x\"].server_group: is required\nservers[\"x\"].host: is required"
    );
    for broken in ["[]", "{", r#"{"a":1}"#, r#"{"servers":[]}"#] {
        assert!(status_file::parse(broken.as_bytes(), &ages()).is_err(), "{broken}");
    }
}

/// Bodies near to real ones: real field names, values of every kind.
fn any_body() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("\"\"".to_owned()),
        "[a-zA-Z0-9/ .:+-]{0,30}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,10}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        Just("[\"/etc/a\",{\"path\":\"b\",\"kind\":\"MODE\"},null]".to_owned()),
        Just("{\"a\":\"b\",\"c\":[]}".to_owned()),
        Just("\"2026-04-26T10:30:00Z\"".to_owned()),
        Just("\"Out_Of_Sync\"".to_owned()),
    ];
    let name = prop::sample::select(vec![
        "server_group",
        "host",
        "status",
        "changed_files",
        "validation_status",
        "validation_message",
        "commit_sha",
        "max_age",
        "labels",
        "run_id",
        "last_pipeline_run",
        "last_cron_check",
        "repo",
        "server",
        "sync_status",
        "drift_count",
        "files",
        "last_check",
        "other",
    ]);
    prop::collection::vec((name, value), 0..8).prop_map(|pairs| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// A body is either refused with a reason, or becomes reports whose line can be written.
    #[test]
    fn any_body_is_taken_or_refused(
        body in prop_oneof![any_body(), "\\PC{0,60}"],
        source in prop::sample::select(vec![Source::Pipeline, Source::Cron, Source::Legacy]),
    ) {
        match parse_body(source, body.as_bytes(), &ages()) {
            Ok(parsed) => {
                prop_assert!(!parsed.reports.is_empty());
                prop_assert!(parsed.reports[0].content.max_age.is_some());
            }
            Err(Refusal::Json(problem)) => prop_assert!(!problem.is_empty()),
            Err(Refusal::Fields { errors, subjects, .. }) => {
                prop_assert!(!errors.is_empty() && !subjects.is_empty());
            }
        }
        let _ = status_file::parse(body.as_bytes(), &ages());
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse_body(Source::Pipeline, &bytes, &ages());
        let _ = status_file::parse(&bytes, &ages());
    }
}
