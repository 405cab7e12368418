//! Databases that earlier versions have left open, and come out right.

use crate::process::{Process, database, run_with, url};
use serde_json::Value;

/// A database of schema 8 as kill -9 left it, with an entry that was not projected: late reports, an alias, a
/// retirement, pushes, a report that says nothing of status or files.
const SCHEMA_8: &str = include_str!("fixtures/schema_8.sql");
/// What its server answered, by path.
const ANSWERS: &str = include_str!("fixtures/schema_8.json");

/// Without what depends on when it was asked.
fn at_any_time(mut answer: Value) -> Value {
    if let Some(as_of) = answer.get_mut("as_of") {
        *as_of = Value::Null;
    }
    for episode in answer.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if episode["ended_at"].is_null() {
            episode["duration_seconds"] = Value::Null;
        }
    }
    answer
}

#[test]
fn a_database_of_schema_8_comes_out_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "").unwrap();
    crate::process::sql(&path, SCHEMA_8);
    let mut server = Process::start(folder.path());
    let answers: serde_json::Map<String, Value> = serde_json::from_str(ANSWERS).unwrap();
    assert_eq!(answers.len(), 2);
    for (path, answer) in answers {
        assert_eq!(at_any_time(server.json(&path)), at_any_time(answer), "{path}");
    }
    let hosts = server.json("/status");
    assert_eq!(hosts.as_array().unwrap().len(), 6, "{hosts}");
    assert!(server.stop().success());
    let (code, said) =
        run_with(folder.path(), &[("DATABASE_URL", &url(folder.path()))], &["verify"]);
    assert_eq!(code, 0, "{said}");
}
