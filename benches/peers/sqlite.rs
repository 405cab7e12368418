//! SQLite by itself: the library that the server uses, on the thread that calls it, by prepared
//! statements. What a program without HTTP, checks, receipts and a tree would pay.

use gitops_status_server::domain::time::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Statement, params_from_iter};
use std::fmt::Write;
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
        Self { connection, seq: 0 }
    }

    /// Commits batches of `batch` rows for a while: as fast as it goes, or one every `gap`. Seconds
    /// of each commit, counted from when it was due.
    pub fn commits(&mut self, batch: usize, time: Duration, gap: Option<Duration>) -> Vec<f64> {
        let places = vec!["(?,?,?,?,?,?,?,?,?,?,?,?)"; batch].join(",");
        let insert = format!("INSERT INTO report VALUES {places}");
        let mut begin = self.connection.prepare("BEGIN IMMEDIATE").unwrap();
        let mut insert = self.connection.prepare(&insert).unwrap();
        let mut commit = self.connection.prepare("COMMIT").unwrap();
        let (started, mut times) = (Instant::now(), Vec::new());
        loop {
            let mut due = Instant::now();
            if let Some(gap) = gap {
                due = started + gap.mul_f64(times.len() as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            if due.duration_since(started) >= time {
                return times;
            }
            begin.raw_execute().unwrap();
            for row in 0..batch {
                bind(&mut insert, row, self.seq + 1);
                self.seq += 1;
            }
            insert.raw_execute().unwrap();
            commit.raw_execute().unwrap();
            times.push(due.elapsed().as_secs_f64());
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
const COLUMNS: [(&str, &str, Form); 33] = [
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

    /// Reads the newest 100 rows of each host again and again, and writes them as JSON. Seconds for
    /// each page, and the bytes of one.
    pub fn pages(&self, hosts: &[(String, String)], time: Duration) -> (Vec<f64>, usize) {
        let columns: Vec<_> = COLUMNS.iter().map(|(_, sql, _)| *sql).collect();
        let sql = format!(
            "SELECT {} FROM drift_history h JOIN content c ON c.id = h.content_id \
             JOIN host o ON o.id = h.host_id JOIN sender s ON s.id = h.sender_id \
             LEFT JOIN run r ON r.id = h.run_id \
             WHERE h.host_id = ?1 ORDER BY h.time DESC, h.seq DESC LIMIT 100",
            columns.join(", ")
        );
        let mut find = self
            .connection
            .prepare("SELECT id FROM host WHERE server_group = ?1 AND host = ?2")
            .unwrap();
        let ids: Vec<i64> = hosts
            .iter()
            .map(|(group, host)| find.query_row([group, host], |row| row.get(0)).unwrap())
            .collect();
        let mut page = self.connection.prepare(&sql).unwrap();
        let (started, mut times, mut out) = (Instant::now(), Vec::new(), String::new());
        while started.elapsed() < time {
            let asked = Instant::now();
            out.clear();
            let rows = write_page(&mut page, ids[times.len() % ids.len()], &mut out);
            assert_eq!(rows, 100, "a whole page");
            times.push(asked.elapsed().as_secs_f64());
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

fn write_page(page: &mut Statement<'_>, host: i64, out: &mut String) -> usize {
    let mut rows = page.query(params_from_iter([host])).unwrap();
    let mut count = 0;
    out.push_str("{\"items\":[");
    while let Some(row) = rows.next().unwrap() {
        out.push_str(if count == 0 { "{\"v\":1" } else { ",{\"v\":1" });
        for (column, (name, _, form)) in COLUMNS.iter().enumerate() {
            let _ = write!(out, ",\"{name}\":");
            write_value(row.get_ref(column).unwrap(), form, out);
        }
        out.push('}');
        count += 1;
    }
    out.push_str("],\"next_cursor\":null}");
    count
}

fn write_value(value: ValueRef<'_>, form: &Form, out: &mut String) {
    let _ = match (value, form) {
        (ValueRef::Integer(number), Form::Integer) => write!(out, "{number}"),
        (ValueRef::Integer(number), Form::Id) => write!(out, "\"{number}\""),
        (ValueRef::Integer(number), Form::Time) => write!(out, "\"{}\"", Timestamp(number)),
        (ValueRef::Integer(number), Form::Word(words)) => {
            write!(out, "\"{}\"", words[number as usize])
        }
        (ValueRef::Text(text), Form::Json) => {
            out.push_str(std::str::from_utf8(text).unwrap());
            Ok(())
        }
        (ValueRef::Text(text), _) => {
            let text = std::str::from_utf8(text).unwrap();
            out.push_str(&serde_json::to_string(text).unwrap());
            Ok(())
        }
        _ => write!(out, "null"),
    };
}
