//! What no text that is written down may hold, however it comes; and how many errors one answer lists.

use crate::harness::Server;
use serde_json::{Value, json};

/// The end of a path with a text in it that holds NUL, as it is and in base64.
const NUL: [&str; 3] = ["a%00b", "%00", "b%00"];
const NUL_BASE64: [&str; 3] = ["YQBi", "AA", "YgA="];

const STATE: &[u8] = b"drift_stack_state{stack=\"vpc\"} 0\n";

#[test]
fn nul_in_a_path_is_400_wherever_the_text_would_be_written_down() {
    let server = Server::start();
    let mut paths = Vec::new();
    for nul in NUL {
        paths.push(format!("/metrics/job/{nul}"));
        paths.push(format!("/metrics/job/{nul}/env/prod"));
        paths.push(format!("/metrics/job/j/env/{nul}"));
        paths.push(format!("/metrics/job/j/stack/{nul}"));
        paths.push(format!("/metrics/job/j/job/{nul}"));
        paths.push(format!("/metrics/job/j/{nul}/x"));
        paths.push(format!("/metrics/job/j/env/prod/region/{nul}"));
    }
    for nul in NUL_BASE64 {
        paths.push(format!("/metrics/job@base64/{nul}"));
        paths.push(format!("/metrics/job/j/env@base64/{nul}"));
        paths.push(format!("/metrics/job@base64/ag/env@base64/{nul}"));
        paths.push(format!("/metrics/job/j/stack@base64/{nul}"));
    }
    for path in &paths {
        for method in ["POST", "PUT", "DELETE"] {
            let body = (method != "DELETE").then_some(STATE);
            let answer = server.send(method, path, &[], body);
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
            assert!(!answer.body.contains(&0), "{method} {path}");
        }
        // Even if the push holds nothing that is history.
        assert_eq!(server.send("POST", path, &[], Some(b"up 1\n")).status, 400, "{path}");
    }
    let stack = b"drift_stack_state{stack=\"a\0b\"} 0\n";
    assert_eq!(server.send("POST", "/metrics/job/j", &[], Some(stack)).status, 400);
    for nul in NUL {
        for path in [format!("/hosts/{nul}/h"), format!("/hosts/g/{nul}")] {
            let retire = server.post(&format!("{path}/retire"), &json!({}));
            retire.problem(400);
            let former = json!({"alias_of": {"server_group": "g", "host": "old"}});
            server.post(&format!("{path}/alias"), &former).problem(400);
        }
    }
    assert_eq!(server.lines(), Vec::<Value>::new(), "nothing was recorded");
    let listed = server.get("/rejections?limit=10000").text();
    assert!(listed.contains("holds the NUL character"), "{listed}");
    let rows: Value = serde_json::from_str(&listed).unwrap();
    let names =
        rows.as_array().unwrap().iter().flat_map(|row| [&row["server_group"], &row["host"]]);
    assert!(names.filter_map(Value::as_str).all(|name| !name.contains('\0')), "nor listed");
    // What JSON may hold, a path may.
    let path = "/metrics/job/j/env@base64/YQpi";
    assert_eq!(server.send("POST", path, &[], Some(STATE)).status, 200);
    assert_eq!(server.lines()[0]["labels"], json!({"env": "a\nb"}));
}

#[test]
fn an_answer_lists_a_hundred_errors_of_parameters() {
    let server = Server::start();
    let unknown: Vec<String> = (0..900).map(|at| format!("p{at}=1")).collect();
    let wrong: Vec<String> = (0..900).map(|_| "status=x".to_owned()).collect();
    for (path, pairs) in [("/history", &unknown), ("/history", &wrong), ("/status", &wrong)] {
        for (count, listed) in [(1, 1), (100, 100), (101, 101), (900, 101)] {
            let answer = server.get(&format!("{path}?{}", pairs[..count].join("&")));
            let problem = answer.problem(400);
            let errors = problem["errors"].as_array().unwrap();
            assert_eq!(errors.len(), listed, "{path} {count}");
            let rest = count - count.min(100);
            let last = errors[errors.len() - 1]["message"].as_str().unwrap();
            assert_eq!(last == format!("and {rest} more errors"), rest > 0, "{last}");
            assert!(answer.body.len() < 100_000, "{}", answer.body.len());
        }
    }
}

#[test]
fn an_act_lists_a_hundred_warnings() {
    let server = Server::start();
    server.pipeline(&json!({"server_group": "g", "host": "h", "status": "synced"}));
    let body: Value =
        (0..500).map(|at| (format!("x{at}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let answer = server.post("/hosts/g/h/retire", &body).ok();
    let warnings = answer["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 101);
    assert_eq!(warnings[100], "and 400 more warnings");
}
