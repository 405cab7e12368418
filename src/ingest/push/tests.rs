use super::*;
use proptest::prelude::*;

fn ages() -> StaleAfter {
    StaleAfter::parse("26h", "stacks=1h").unwrap()
}

fn key(path: &str) -> Result<GroupingKey, String> {
    let mut parts = path.split('/').map(str::to_owned);
    let job = parts.next().unwrap();
    let (is_base64, job) = match job.strip_prefix("@base64:") {
        Some(job) => (true, job.to_owned()),
        None => (false, job),
    };
    GroupingKey::parse(&job, is_base64, &parts.collect::<Vec<_>>())
}

fn pushed(body: &str) -> Result<Pushed, String> {
    key("stacks").unwrap().read(body.as_bytes(), &ages())
}

#[test]
fn a_path_is_a_grouping_key() {
    for (path, shown) in [
        ("drift-detection", r"drift-detection {}"),
        ("drift-detection/", r"drift-detection {}"),
        ("j/env/prod/a/b", r#"j {"a":"b","env":"prod"}"#),
        ("j/env/", r"j {}"),
        ("j/job/other", r"j {}"),
        (
            "@base64:ZHJpZnQvZGV0ZWN0aW9u/e@base64/=/env/prod/path@base64/L3g=",
            r#"drift/detection {"env":"prod","path":"/x"}"#,
        ),
    ] {
        let push = key(path).unwrap().deletion(&ages()).unwrap();
        assert_eq!(format!("{} {}", push.grouping.job, push.grouping.labels), shown);
        assert!(push.deletes);
    }
}

#[test]
fn a_path_that_is_none_gets_the_recorded_sentence() {
    for (path, why) in [
        ("j4/onlyname", r#"odd number of components in label string "/onlyname""#),
        ("j/a/b/", r#"odd number of components in label string "/a/b/""#),
        ("j4/bad-label/x", r#"improper label name "bad-label""#),
        ("j/__x/1", r#"improper label name "__x""#),
        (
            "@base64:a*b",
            r#"invalid base64 encoding in job name "": illegal base64 data at input byte 1"#,
        ),
        (
            "q/e@base64/ab*d",
            r#"invalid base64 encoding for label e="ab*d": illegal base64 data at input byte 2"#,
        ),
        ("a\0b", r#"the job's name "a\x00b" holds the NUL character (\u0000)"#),
        ("@base64:YQBi", r#"the job's name "a\x00b" holds the NUL character (\u0000)"#),
        ("j/env/a\0b", r#"the label "env"="a\x00b" holds the NUL character (\u0000)"#),
        ("j/env@base64/YQBi", r#"the label "env"="a\x00b" holds the NUL character (\u0000)"#),
        ("j/job@base64/AA", r#"the label "job"="\x00" holds the NUL character (\u0000)"#),
        ("j/stack@base64/YQBi", r#"the label "stack"="a\x00b" holds the NUL character (\u0000)"#),
        ("", "job name is required"),
        ("@base64:=", "job name is required"),
    ] {
        assert_eq!(key(path).unwrap_err(), why, "{path}");
    }
    let many = (0..17).fold("j".to_owned(), |path, n| format!("{path}/l{n}/v"));
    assert!(key(&many).unwrap().deletion(&ages()).unwrap_err().contains("at most 16"));
    let long = format!("j/l/{}", "v".repeat(256));
    assert!(key(&long).unwrap().deletion(&ages()).unwrap_err().contains("too long"));
}

#[test]
fn stack_states_become_reports_at_the_run() {
    let body = "# TYPE drift_stack_state gauge\n\
                drift_stack_state{stack=\"network/vpc\"} 0\n\
                drift_stack_state{stack=\"dns\",region=\"eu\"} 1.0\n\
                  drift_stack_state{stack = \"d\\\"b\" , } 2\n\
                drift_stack_age_hours{stack=\"dns\"} NaN\n\
                drift_detection_last_run_timestamp 1.7772e+09\n";
    let Pushed { reports, push, .. } = pushed(body).unwrap();
    let found: Vec<_> = reports
        .iter()
        .map(|report| (&*report.key.host, report.content.status.unwrap(), report.content.max_age))
        .collect();
    assert_eq!(
        found,
        [
            ("network/vpc", Status::Synced, Some(3600)),
            ("dns", Status::OutOfSync, Some(3600)),
            ("d\"b", Status::Failed, Some(3600)),
        ]
    );
    assert!(reports.iter().all(|report| &*report.key.server_group == "stacks"));
    let at = Timestamp::parse("2026-04-26T10:40:00Z").unwrap();
    assert!(reports.iter().all(|report| report.reported_at == Some(at)));
    assert_eq!(push.run_at, Some(at));
    assert_eq!(
        push.absence.reason.as_deref(),
        Some(
            "missing from the push to /metrics/job/stacks of 2026-04-26T10:40:00Z, which holds 3 other stacks"
        )
    );
}

#[test]
fn other_families_say_nothing() {
    for body in [
        "",
        "\n\n",
        "# a comment\n",
        "up 1\n",
        "drift_detection_last_run_timestamp 0\n",
        "drift_detection_last_run_timestamp 1777200000000\n",
        "drift_detection_last_run_timestamp -1\n",
        "drift_detection_last_run_timestamp NaN\n",
        "# TYPE drift_detection_last_run_timestamp summary\ndrift_detection_last_run_timestamp_count 9\n",
    ] {
        let Pushed { reports, push, .. } = pushed(body).unwrap();
        assert!(reports.is_empty() && push.run_at.is_none(), "{body}");
    }
}

/// Recorded from Pushgateway 1.5.1; `scripts/test --all` asks the real one the same.
#[test]
fn a_malformed_body_gets_the_recorded_sentence() {
    let line = "text format parsing error in line";
    for (body, why) in [
        ("a 1", format!("{line} 1: unexpected end of input stream")),
        ("a", format!("{line} 1: unexpected end of input stream")),
        ("a{", format!("{line} 1: unexpected end of input stream")),
        ("x abc\n", format!("{line} 1: expected float as value, got \"abc\"")),
        ("x 1\r\n", format!("{line} 1: expected float as value, got \"1\\r\"")),
        ("\nx 1e999\n", format!("{line} 2: expected float as value, got \"1e999\"")),
        ("x 1 a\n", format!("{line} 1: expected integer as timestamp, got \"a\"")),
        ("x 1 1 1\n", format!("{line} 1: spurious string after timestamp: \" 1\"")),
        ("{a=\"b\"} 1\n", format!("{line} 1: invalid metric name")),
        ("a{b-c=\"d\"} 1\n", format!("{line} 1: expected '=' after label name, found '-'")),
        ("a{b=c} 1\n", format!("{line} 1: expected '\"' at start of label value, found 'c'")),
        ("a{b=\"c\"x} 1\n", format!("{line} 1: unexpected end of label value \"c\"")),
        ("a{b=\"\\x\"} 1\n", format!("{line} 1: invalid escape sequence '\\x'")),
        ("a{b=\"c\n\"} 1\n", format!("{line} 1: label value \"c\" contains unescaped new-line")),
        ("a{b=\"1\",b=\"2\"} 1\n", format!("{line} 1: duplicate label names for metric \"a\"")),
        ("a{1=\"1\"} 1\n", format!("{line} 1: invalid label name for metric \"a\"")),
        (
            "a 1\n# TYPE a gauge\n",
            format!(
                "{line} 2: second TYPE line for metric name \"a\", or TYPE reported after samples"
            ),
        ),
        ("# TYPE a gouge\n", format!("{line} 1: unknown metric type \"gouge\"")),
        ("# HELP a b\n# HELP a c\n", format!("{line} 2: second HELP line for metric name \"a\"")),
    ] {
        assert_eq!(pushed(body).unwrap_err(), why, "{body:?}");
    }
    let inconsistent = "pushed metrics are invalid or inconsistent with existing metrics: ";
    assert_eq!(
        pushed("a 1 1395066363000\n").unwrap_err(),
        format!("{inconsistent}pushed metrics must not have timestamps")
    );
    assert_eq!(
        pushed("a_metric 1\na_metric{job=\"x\"} 2\n").unwrap_err(),
        format!(
            "{inconsistent}collected metric \"a_metric\" {{ label:<name:\"instance\" value:\"\" > \
             label:<name:\"job\" value:\"stacks\" > untyped:<value:2 > }} was collected before with \
             the same name and label values"
        )
    );
}

#[test]
fn a_stack_state_must_say_something() {
    for (body, says) in [
        ("drift_stack_state 1\n", "names no stack"),
        (
            "# TYPE drift_stack_state summary\ndrift_stack_state_count{stack=\"a\"} 0\n",
            "must be a gauge",
        ),
        ("drift_stack_state{stack=\"\"} 1\n", "must not be empty"),
        ("drift_stack_state{stack=\"a\\nb\"} 1\n", "control characters"),
        ("drift_stack_state{stack=\"a\0b\"} 1\n", "control characters"),
        ("drift_stack_state{stack=\"a\"} 3\n", "0 (clean), 1 (drift) or 2 (error)"),
        ("drift_stack_state{stack=\"a\"} NaN\n", "is NaN"),
        ("drift_stack_state{stack=\"a\",e=\"1\"} 0\ndrift_stack_state{stack=\"a\"} 1\n", "twice"),
    ] {
        let why = pushed(body).unwrap_err();
        assert!(why.contains(says), "{body:?}: {why}");
    }
}

#[test]
fn a_megabyte_of_labels_or_samples_is_read_at_once() {
    let begun = std::time::Instant::now();
    let labels: Vec<String> = (0..80_000).map(|n| format!("l{n}=\"\"")).collect();
    pushed(&format!("a{{{}}} 1\n", labels.join(","))).unwrap();
    let samples: Vec<String> = (0..60_000).map(|n| format!("a{{b=\"{n}\"}} 1\n")).collect();
    pushed(&samples.concat()).unwrap();
    let why = pushed(&"a 1\n".repeat(100_000)).unwrap_err();
    assert!(why.contains(" 99999 error(s) occurred:") && why.ends_with("and 99899 more"));
    assert!(why.len() < 100_000);
    // A quadratic search would take minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn the_path_names_the_stack_before_the_body_does() {
    let body = b"drift_stack_state{stack=\"body\"} 1\n";
    let pushed = key("j/stack/real").unwrap().read(body, &ages()).unwrap();
    assert_eq!(&*pushed.reports[0].key.host, "real");
    let pushed = key("j/stack/real").unwrap().read(b"drift_stack_state 0\n", &ages()).unwrap();
    assert_eq!(&*pushed.reports[0].key.host, "real");
    let many: Vec<String> =
        (0..=STACKS_MAX).map(|n| format!("drift_stack_state{{stack=\"{n}\"}} 1\n")).collect();
    let why = key("j").unwrap().read(many.concat().as_bytes(), &ages()).unwrap_err();
    assert!(why.contains("at most 5000"), "{why}");
}

#[test]
fn a_long_path_does_not_make_a_long_refusal() {
    let job = "j".repeat(40_000);
    let why = key(&job).unwrap().read("a 1\n".repeat(9).as_bytes(), &ages()).unwrap_err();
    assert!(why.len() < 200_000, "{}", why.len());
    assert!(why.ends_with("and 6 more"), "{}", &why[why.len() - 30..]);
}

#[test]
fn metrics_that_were_meant_to_be_stack_states_are_told() {
    for name in [
        "drift_stack_state_total",
        "drift_stack_states",
        "drift_stack_stat",
        "drift_stack_status",
        "drift_stacks_state",
        "Drift_Stack_State",
        "DRIFT_STACK_STATE",
        "driftStackState",
        "drift:stack:state",
        "drift__stack_state",
        "drift_stack_state_info",
        "terragrunt_drift_stack_state",
        "dritf_stack_state",
    ] {
        for kind in ["", "# TYPE {} counter\n", "# TYPE {} gauge\n"] {
            let kind = kind.replace("{}", name);
            let body = format!("up 1\n{kind}{name}{{stack=\"vpc\"}} 1\n");
            let read = pushed(&body).unwrap();
            assert_eq!(
                (read.reports.len(), read.near_misses),
                (0, vec![name.to_owned()]),
                "{body}"
            );
        }
    }
    let others = "drift_stack_state{stack=\"vpc\"} 0\ndrift_stack_first_seen{stack=\"vpc\"} 1\n\
                  drift_stack_age_hours{stack=\"vpc\"} 1\ndrift_stack_count 1\ndrift_error_count 0\n\
                  drift_clean_count 0\ndrift_detection_last_run_timestamp 1777200000\nup 1\n\
                  push_time_seconds 1\ndrift_state 1\nstack_state 1\n";
    assert_eq!(pushed(others).unwrap().near_misses, Vec::<String>::new());
    let many: Vec<String> =
        (0..9000).map(|at| format!("drift_stack_state_{at}_{} 1\n", "x".repeat(80))).collect();
    let told = pushed(&many.concat()).unwrap().near_misses;
    assert_eq!(told.len(), NEAR_MAX);
    assert!(told.iter().all(|name| name.len() == NEAR_MAX_CHARS));
}

proptest! {
    #[test]
    fn no_body_makes_the_parser_panic(body in "[ab{}=\"\\\\ \n\t#0-9.e+,HELPTY_]{0,80}") {
        let _ = pushed(&body);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = key("stacks").unwrap().read(&body, &ages());
    }

    #[test]
    fn what_is_escaped_comes_back(stack in "[^\\p{Cc}]{1,40}") {
        let Ok(name) = parse_name(&stack) else { return Ok(()) };
        let escaped = stack.replace('\\', "\\\\").replace('"', "\\\"");
        let pushed = pushed(&format!("drift_stack_state{{stack=\"{escaped}\"}} 1\n")).unwrap();
        prop_assert_eq!(&*pushed.reports[0].key.host, name);
    }
}
