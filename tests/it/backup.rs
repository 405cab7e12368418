//! `backup`: a copy made under load is whole, and a file bears the name only if it is.

use crate::harness::{Client, pipeline_report};
use crate::process::{Process, binary, command, copy_key, database, sql, url};
use serde_json::json;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A server's history, after it was stopped.
fn filled(folder: &Path, reports: usize) {
    let mut server = Process::start(folder);
    let report =
        |n: usize| json!({"server_group":"g","host":format!("h{}", n % 7),"status":"synced"});
    let all: Vec<_> = (0..reports).map(report).collect();
    for part in all.chunks(1000) {
        server.post("/status/pipeline", &json!(part)).ok();
    }
    assert!(server.stop().success());
}

/// Everything in a folder: names, sizes and digests of contents. What a reader leaves beside a database
/// does not count: an empty log and its index.
pub fn everything(folder: &Path) -> BTreeSet<(String, usize, u64)> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (name, bytes) = (path.display().to_string(), std::fs::read(&path).unwrap());
        if name.ends_with("-shm") || (name.ends_with("-wal") && bytes.is_empty()) {
            continue;
        }
        let mut hasher = std::hash::DefaultHasher::new();
        bytes.hash(&mut hasher);
        all.insert((name, bytes.len(), hasher.finish()));
    }
    all
}

/// Reports until told; `newest` is the newest id that was acknowledged.
fn report_until(client: &Client, stop: &AtomicBool, newest: &AtomicU64) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let host = format!("h{}", n % 9);
        let late = json!({"server_group":"g","host":host,"status":"out_of_sync",
            "changed_files":[format!("/{}", n % 3)],
            "last_pipeline_run":format!("2026-01-01T00:{:02}:00Z", n % 60)});
        let now = json!({"server_group":"g","host":host,"status":"synced"});
        let answer = client.post("/status/pipeline", &json!([late, now])).ok();
        let id = answer["reports"][1]["id"].as_str().unwrap().parse().unwrap();
        newest.fetch_max(id, Ordering::Relaxed);
        n += 1;
    }
}

/// Whatever happens, the load ends.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_under_load_is_a_whole_history_as_it_was_at_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let hosts = (0..9).map(|n| pipeline_report("g", &format!("h{n}"), "2026-01-01T00:00:00Z"));
    server.post("/status/pipeline", &json!(hosts.collect::<Vec<_>>())).ok();
    let (stop, newest) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut backups = Vec::new();
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..4 {
            let client = server.client.clone();
            let (stop, newest) = (&stop, &newest);
            scope.spawn(move || report_until(&client, stop, newest));
        }
        for n in 0..4 {
            let name = format!("copy-{n}.db");
            let before = newest.load(Ordering::Relaxed);
            let (code, said, wrong) = command(folder.path(), &["backup", &name]);
            assert_eq!(code, 0, "{wrong}");
            assert!(said.contains("entries of 9 hosts") && said.contains("verified"), "{said}");
            assert!(newest.load(Ordering::Relaxed) > before, "the writer was held up");
            backups.push((name, before));
        }
    });
    let lines = server.raw_lines();
    for (name, before) in backups {
        let place = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join(&name), database(place.path())).unwrap();
        copy_key(folder.path(), place.path());
        let copy = Process::start(place.path());
        let copied = copy.raw_lines();
        assert!(
            copied.len() as u64 >= before,
            "{name} lacks what was acknowledged before it began"
        );
        assert!(copied == lines[..copied.len()], "{name} is no beginning of the history");
        let (code, _, wrong) = command(place.path(), &["verify"]);
        assert_eq!(code, 0, "{name}: {wrong}");
    }
}

#[test]
fn a_file_that_is_there_is_replaced_only_on_demand_and_only_by_a_good_copy() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 10);
    let path = folder.path();
    let (code, said, wrong) = command(path, &["backup", "copy.db"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(
        said.starts_with("copy.db: ") && said.contains(", 10 entries of 7 hosts, the newest of 2"),
        "{said}"
    );
    let good = std::fs::read(path.join("copy.db")).unwrap();
    let (code, _, wrong) = command(path, &["backup", "copy.db"]);
    assert_eq!((code, wrong.contains("--force")), (1, true), "{wrong}");
    assert_eq!(command(path, &["backup", "copy.db", "--force"]).0, 0);
    // A projection that is not what the history says.
    sql(
        &database(path),
        "UPDATE current_state SET state = json_set(state, '$[1]', 99) WHERE host_id = 1",
    );
    let (code, _, wrong) = command(path, &["backup", "copy.db", "--force"]);
    assert_eq!(code, 1);
    assert!(wrong.contains("copy.db.unverified") && wrong.contains("rebuild"), "{wrong}");
    assert!(std::fs::read(path.join("copy.db")).unwrap() == good, "the good copy is gone");
    assert!(path.join("copy.db.unverified").exists(), "better than none at all");
    assert!(!path.join("copy.db.part").exists());
    sql(
        &database(path),
        "UPDATE current_state SET state = json_set(state, '$[1]', 2) WHERE host_id = 1; \
        DROP TRIGGER history_no_update; UPDATE drift_history SET marks = marks | 8 WHERE seq = 4",
    );
    let (code, _, wrong) = command(path, &["backup", "copy.db", "--force"]);
    assert_eq!(code, 1);
    assert!(wrong.contains("not what was recorded, first at entry 4"), "{wrong}");
    assert!(std::fs::read(path.join("copy.db")).unwrap() == good, "the good copy is gone");
    for target in ["history.db", "./history.db", "."] {
        let (code, _, wrong) = command(path, &["backup", target, "--force"]);
        assert_eq!((code, wrong.lines().count()), (1, 1), "{target}: {wrong}");
    }
    assert_eq!(command(path, &["backup", "no/such/folder/copy.db"]).0, 1);
}

#[test]
fn damaged_pages_do_not_become_a_good_backup() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 3000);
    let path = database(folder.path());
    let (good, history) = (std::fs::read(&path).unwrap(), export(folder.path(), "history.db"));
    let mut refused = 0;
    for page in (8..good.len() / 4096).step_by(5) {
        let mut bad = good.clone();
        bad[page * 4096..][..4096].fill(0x5A);
        std::fs::write(&path, &bad).unwrap();
        let (code, _, wrong) = command(folder.path(), &["backup", "copy.db"]);
        let copy = folder.path().join("copy.db");
        assert_eq!(copy.exists(), code == 0, "page {page}: {wrong}");
        assert!(!folder.path().join("copy.db.part").exists());
        // Nobody misses a page that holds nothing any more.
        if code == 0 {
            assert!(export(folder.path(), "copy.db") == history, "page {page}: {wrong}");
            std::fs::remove_file(copy).unwrap();
        }
        refused += usize::from(code == 1);
    }
    assert!(refused > 5, "hardly anything was damaged");
}

/// The history in a file.
fn export(folder: &Path, name: &str) -> Vec<u8> {
    let url = format!("sqlite://{name}");
    let arguments = ["export", "--format", "ndjson", "--database-url", &url];
    let output = binary(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_backup_leaves_room_for_the_server() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 10);
    let before = everything(folder.path());
    let mut backup = binary(folder.path());
    backup.args(["backup", "copy.db"]).env("DATABASE_URL", url(folder.path()));
    let output = backup.env("MIN_FREE_BYTES", "9999999GiB").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("MIN_FREE_BYTES"), "{said}");
    assert_eq!(everything(folder.path()), before, "something is left behind");
}

#[test]
fn what_an_interrupted_backup_left_is_thrown_away_and_one_in_progress_is_not() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 10);
    let part = folder.path().join("copy.db.part");
    std::fs::write(&part, b"half of something").unwrap();
    let other = std::fs::File::open(&part).unwrap();
    other.lock().unwrap();
    let (code, _, wrong) = command(folder.path(), &["backup", "copy.db"]);
    assert_eq!((code, wrong.contains("another backup")), (1, true), "{wrong}");
    assert_eq!(std::fs::read(&part).unwrap(), b"half of something");
    drop(other);
    assert_eq!(command(folder.path(), &["backup", "copy.db"]).0, 0);
    assert!(!part.exists());
}
