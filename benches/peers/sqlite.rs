//! SQLite by itself: the library that the server uses, on the thread that calls it, by prepared
//! statements. What a program without HTTP, checks, receipts and a tree would pay.

use gitops_status_server::domain::time::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Statement};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// A table of integers as narrow as ours, with the two indexes that the questions need. It has no
/// triggers and no dictionaries, and does not follow our schema: it stays what it is.
const TABLE: &str = "
    CREATE TABLE report (
        seq INTEGER PRIMARY KEY, host_id INTEGER NOT NULL, received_at INTEGER NOT NULL,
        time INTEGER NOT NULL, content_id INTEGER NOT NULL, sender_id INTEGER NOT NULL,
        run_id INTEGER, kind INTEGER NOT NULL, source INTEGER, late INTEGER NOT NULL,
        transition INTEGER NOT NULL, hash8 INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX report_by_host ON report (host_id, time);
    CREATE INDEX report_by_time ON report (time);";
/// Grows the log to its full size, as that of a server that has run for a while: then commits overwrite
/// it, and a sync need not wait for the file system's journal.
const GROW_LOG: &str = "
    CREATE TABLE ballast (bytes BLOB) STRICT;
    INSERT INTO ballast VALUES (zeroblob(34000000));
    DROP TABLE ballast;
    PRAGMA wal_checkpoint(RESTART);";

/// A database that takes rows.
pub struct Rows {
    connection: Connection,
    seq: i64,
}

impl Rows {
    /// A new file, written as durably as ours, with as large a cache and log.
    pub fn create(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let set = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8000; \
                   PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=8000;";
        connection.execute_batch(set).unwrap();
        connection.execute_batch(TABLE).unwrap();
        connection.execute_batch(GROW_LOG).unwrap();
        Self { connection, seq: 0 }
    }

    /// Commits batches of `batch` rows for a while: as fast as it goes, or one every `gap` (a late one
    /// at once). Seconds of each, from its BEGIN on.
    pub fn commits(&mut self, batch: usize, time: Duration, gap: Option<Duration>) -> Vec<f64> {
        let places = vec!["(?,?,?,?,?,?,?,?,?,?,?,?)"; batch].join(",");
        let insert = format!("INSERT INTO report VALUES {places}");
        let mut begin = self.connection.prepare("BEGIN IMMEDIATE").unwrap();
        let mut insert = self.connection.prepare(&insert).unwrap();
        let mut commit = self.connection.prepare("COMMIT").unwrap();
        let (started, mut times) = (Instant::now(), Vec::new());
        loop {
            if let Some(gap) = gap {
                let due = started + gap.mul_f64(times.len() as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let from = Instant::now();
            if from.duration_since(started) >= time {
                return times;
            }
            begin.raw_execute().unwrap();
            for row in 0..batch {
                bind(&mut insert, row, self.seq + 1);
                self.seq += 1;
            }
            insert.raw_execute().unwrap();
            commit.raw_execute().unwrap();
            times.push(from.elapsed().as_secs_f64());
        }
    }
}

fn bind(insert: &mut Statement<'_>, row: usize, seq: i64) {
    let (time, first) = (1_767_225_600_000_000 + seq * 50, row * 12);
    let hash = seq.wrapping_mul(0x2545_F491_4F6C_DD1D);
    let values =
        [seq, 1 + seq % 1000, time + 7, time, 1 + seq % 40, 1, 0, 0, 1, 0, 0, hash].into_iter();
    for (column, value) in values.enumerate() {
        let null = column == 6;
        let value = (!null).then_some(value);
        insert.raw_bind_parameter(first + column + 1, value).unwrap();
    }
}

/// How a column gets into JSON.
enum Form {
    Text,
    Integer,
    /// As a string.
    Id,
    Time,
    /// It is JSON.
    Json,
    Word(&'static [&'static str]),
}

const KINDS: Form = Form::Word(&["report", "inferred", "retire", "alias"]);
const SOURCES: Form = Form::Word(&["pipeline", "cron", "legacy", "pushgateway", "import"]);
const STATUSES: Form = Form::Word(&["synced", "out_of_sync", "failed", "unknown"]);
const TRANSITIONS: Form = Form::Word(&["none", "opened", "changed", "closed"]);
const VALIDATIONS: Form = Form::Word(&["passed", "failed", "skipped"]);

/// The columns of an item, out of the tables of our schema. The digest is the part that is kept.
const COLUMNS: [(&str, &str, Form); 37] = [
    ("origin", "(SELECT origin FROM head)", Form::Text),
    ("id", "h.seq", Form::Id),
    ("kind", "h.kind", KINDS),
    ("source", "h.source", SOURCES),
    ("server_group", "o.server_group", Form::Text),
    ("host", "o.host", Form::Text),
    ("time", "h.time", Form::Time),
    ("reported_at", "h.reported_at", Form::Time),
    ("received_at", "h.received_at", Form::Time),
    ("status", "c.status", STATUSES),
    ("changed_files", "c.changed_files", Form::Json),
    ("declared_count", "c.declared_count", Form::Integer),
    ("max_age", "c.max_age", Form::Integer),
    ("project_name", "c.project_name", Form::Text),
    ("repo_name", "c.repo_name", Form::Text),
    ("server_type", "c.server_type", Form::Text),
    ("environment", "c.environment", Form::Text),
    ("validation_status", "c.validation_status", VALIDATIONS),
    ("validation_message", "c.validation_message", Form::Text),
    ("commit_sha", "c.commit_sha", Form::Text),
    ("branch", "c.branch", Form::Text),
    ("updated_by", "c.updated_by", Form::Text),
    ("last_pipeline_run", "c.last_pipeline_run", Form::Time),
    ("last_cron_check", "c.last_cron_check", Form::Time),
    ("labels", "c.labels", Form::Json),
    ("run_id", "r.run_id", Form::Text),
    ("run_url", "r.run_url", Form::Text),
    ("late", "h.late", Form::Integer),
    ("transition", "h.transition", TRANSITIONS),
    ("reported_by", "s.reported_by", Form::Text),
    ("remote_address", "s.remote_address", Form::Text),
    ("reason", "c.reason", Form::Text),
    ("detail", "c.detail", Form::Json),
    ("status_code", "c.status", Form::Integer),
    ("changed_files_count", "json_array_length(c.changed_files)", Form::Integer),
    ("changed_files_text", "NULL", Form::Text),
    ("hash", "h.hash8", Form::Id),
];

/// A database of ours, opened to read it without us.
pub struct Pages {
    connection: Connection,
}

impl Pages {
    /// Opens it.
    pub fn open(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self { connection: Connection::open_with_flags(path, flags).unwrap() }
    }

    /// Reads the newest 100 rows of each host again and again, and writes them as JSON if that is
    /// asked for. Seconds for each page, and the bytes of one.
    pub fn pages(
        &self,
        hosts: &[(String, String)],
        time: Duration,
        json: bool,
    ) -> (Vec<f64>, usize) {
        let columns: Vec<_> = COLUMNS.iter().map(|(_, sql, _)| *sql).collect();
        let sql = format!(
            "SELECT {} FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
             JOIN content c ON c.id = h.content_id \
             JOIN host o ON o.id = h.host_id JOIN sender s ON s.id = h.sender_id \
             LEFT JOIN run r ON r.id = h.run_id \
             WHERE e.host_id = ?1 ORDER BY e.time DESC, e.seq DESC LIMIT 100",
            columns.join(", ")
        );
        let find = "SELECT id FROM host WHERE server_group = ?1 AND host = ?2";
        let mut find = self.connection.prepare(find).unwrap();
        let mut id = |(group, host): &(String, String)| {
            find.query_row([group, host], |row| row.get(0)).unwrap()
        };
        let ids: Vec<i64> = hosts.iter().map(&mut id).collect();
        let keys: Vec<_> = COLUMNS.iter().map(|(name, ..)| format!(",\"{name}\":")).collect();
        let mut page = self.connection.prepare(&sql).unwrap();
        let (started, mut times, mut out) = (Instant::now(), Vec::new(), Vec::new());
        while started.elapsed() < time {
            let asked = Instant::now();
            out.clear();
            let mut rows = page.query([ids[times.len() % ids.len()]]).unwrap();
            let mut count = 0;
            out.extend_from_slice(b"{\"items\":[");
            while let Some(row) = rows.next().unwrap() {
                count += 1;
                write_row(row, &keys, json, &mut out);
            }
            out.extend_from_slice(b"],\"next_cursor\":null}");
            times.push(asked.elapsed().as_secs_f64());
            assert_eq!(count, 100, "a whole page");
        }
        (times, out.len())
    }

    /// Bytes of the file by what they are kept for, as SQLite counts its pages.
    pub fn bytes(&self) -> Vec<(String, f64)> {
        let sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC";
        let mut statement = self.connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// How many commits there were behind a row: those of one commit share the moment they came.
    pub fn commits_behind(&self, seq: i64) -> (i64, i64) {
        let sql = "SELECT count(*), count(DISTINCT received_at) FROM drift_history WHERE seq > ?1";
        self.connection.query_row(sql, [seq], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// The newest row.
    pub fn newest(&self) -> i64 {
        self.connection.query_row("SELECT size FROM head", [], |row| row.get(0)).unwrap()
    }
}

/// Reads every column of a row; writes it as an object.
fn write_row(row: &Row<'_>, keys: &[String], json: bool, out: &mut Vec<u8>) {
    if !json {
        for column in 0..keys.len() {
            std::hint::black_box(row.get_ref(column).unwrap());
        }
        return;
    }
    out.extend_from_slice(if out.ends_with(b"[") { b"{\"v\":1" } else { b",{\"v\":1" });
    for (column, (key, (_, _, form))) in keys.iter().zip(&COLUMNS).enumerate() {
        out.extend_from_slice(key.as_bytes());
        write_value(row.get_ref(column).unwrap(), form, out);
    }
    out.push(b'}');
}

fn write_value(value: ValueRef<'_>, form: &Form, out: &mut Vec<u8>) {
    match (value, form) {
        (ValueRef::Integer(number), Form::Integer) => write!(out, "{number}").unwrap(),
        (ValueRef::Integer(number), Form::Id) => write!(out, "\"{number}\"").unwrap(),
        (ValueRef::Integer(number), Form::Time) => {
            write!(out, "\"{}\"", Timestamp(number)).unwrap();
        }
        (ValueRef::Integer(number), Form::Word(words)) => {
            out.push(b'"');
            out.extend_from_slice(words[number as usize].as_bytes());
            out.push(b'"');
        }
        (ValueRef::Text(text), Form::Json) => out.extend_from_slice(text),
        (ValueRef::Text(text), _) => {
            serde_json::to_writer(out, std::str::from_utf8(text).unwrap()).unwrap();
        }
        _ => out.extend_from_slice(b"null"),
    }
}
