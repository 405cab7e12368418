//! The item: what `/history` shows of an entry, as JSON and as CSV. It is the line plus four
//! fields that make tables easier (contract section 6).

use super::cell::guarded;
use super::files::Files;
use super::line::{Entry, hex, leaf_hash};
use super::time::Timestamp;
use super::words::{Source, ValidationStatus};
use serde::Serialize;

/// The CSV columns, in order.
pub const CSV_COLUMNS: [&str; 38] = [
    "v",
    "origin",
    "id",
    "kind",
    "source",
    "server_group",
    "host",
    "time",
    "reported_at",
    "received_at",
    "status",
    "changed_files",
    "declared_count",
    "max_age",
    "project_name",
    "repo_name",
    "server_type",
    "environment",
    "validation_status",
    "validation_message",
    "commit_sha",
    "branch",
    "updated_by",
    "last_pipeline_run",
    "last_cron_check",
    "labels",
    "run_id",
    "run_url",
    "late",
    "transition",
    "reported_by",
    "remote_address",
    "reason",
    "detail",
    "status_code",
    "changed_files_count",
    "changed_files_text",
    "hash",
];

#[derive(Serialize)]
struct Extra<'a> {
    changed_files_count: Option<usize>,
    changed_files_text: Option<String>,
    hash: &'a str,
    status_code: Option<i64>,
}

impl Entry {
    /// Appends the item as JSON; answers the leaf hash.
    pub fn write_item(&self, origin: &str, out: &mut Vec<u8>) -> [u8; 32] {
        let start = out.len();
        self.write_line(origin, out);
        let hash = leaf_hash(&out[start..]);
        let files = self.content.changed_files.as_ref();
        let extra = Extra {
            changed_files_count: files.map(Files::len),
            changed_files_text: files.map(Files::text),
            hash: &hex(&hash),
            status_code: self.content.status.map(super::report::Status::code),
        };
        // Both are objects: join them where one ends and the other begins.
        out.pop();
        let joint = out.len();
        serde_json::to_writer(&mut *out, &extra).expect("an item has only string keys");
        out[joint] = b',';
        hash
    }
}

/// Writes items as CSV (RFC 4180), each line in one go.
pub struct CsvItems {
    writer: csv::Writer<Vec<u8>>,
    /// Whether cells go out as they are, without the spreadsheet guard.
    raw: bool,
    line: Vec<u8>,
    scratch: Vec<u8>,
}

impl CsvItems {
    /// `raw`: leave cells that a spreadsheet would run as formulas as they are.
    pub fn new(raw: bool) -> Self {
        let writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .flexible(true)
            .from_writer(Vec::new());
        Self { writer, raw, line: Vec::new(), scratch: Vec::new() }
    }

    /// Writes the header line.
    pub fn header(&mut self) {
        self.writer.write_record(CSV_COLUMNS).expect("writing to memory");
    }

    /// Takes out what was written so far.
    pub fn take(&mut self) -> Vec<u8> {
        self.writer.flush().expect("writing to memory");
        let raw = self.raw;
        let full = std::mem::replace(self, Self::new(raw));
        full.writer.into_inner().expect("writing to memory")
    }

    /// Writes one entry; answers its leaf hash.
    pub fn entry(&mut self, entry: &Entry, origin: &str) -> [u8; 32] {
        self.line.clear();
        entry.write_line(origin, &mut self.line);
        let hash = leaf_hash(&self.line);
        let content = &*entry.content;
        let run = entry.run.as_deref();
        self.number(Some(super::line::LINE_VERSION));
        self.plain(origin);
        self.number(Some(entry.id));
        self.plain(entry.kind.word());
        self.plain(entry.source.map_or("", Source::word));
        self.text(Some(&entry.key.server_group));
        self.text(Some(&entry.key.host));
        self.time(Some(entry.time));
        self.time(entry.reported_at);
        self.time(Some(entry.received_at));
        self.plain(content.status.map_or("", super::report::Status::word));
        self.json(content.changed_files.as_ref());
        self.number(content.declared_count);
        self.number(content.max_age);
        self.text(content.project_name.as_deref());
        self.text(content.repo_name.as_deref());
        self.text(content.server_type.as_deref());
        self.text(content.environment.as_deref());
        self.plain(content.validation_status.map_or("", ValidationStatus::word));
        self.text(content.validation_message.as_deref());
        self.text(content.commit_sha.as_deref());
        self.text(content.branch.as_deref());
        self.text(content.updated_by.as_deref());
        self.time(content.last_pipeline_run);
        self.time(content.last_cron_check);
        self.json(content.labels.as_ref());
        self.text(run.and_then(|run| run.run_id.as_deref()));
        self.text(run.and_then(|run| run.run_url.as_deref()));
        self.number(Some(u8::from(entry.late)));
        self.plain(entry.transition.word());
        self.text(entry.sender.reported_by.as_deref());
        self.text(entry.sender.remote_address.as_deref());
        self.text(content.reason.as_deref());
        self.text(content.detail.as_deref());
        self.number(content.status.map(super::report::Status::code));
        self.number(content.changed_files.as_ref().map(Files::len));
        match &content.changed_files {
            Some(files) => self.text(Some(&files.text())),
            None => self.plain(""),
        }
        self.plain(&hex(&hash));
        self.writer.write_record(None::<&[u8]>).expect("writing to memory");
        hash
    }

    fn plain(&mut self, cell: &str) {
        self.writer.write_field(cell).expect("writing to memory");
    }

    /// A cell with a sender's text.
    fn text(&mut self, cell: Option<&str>) {
        let cell = cell.unwrap_or_default();
        if self.raw { self.plain(cell) } else { self.plain(&guarded(cell)) }
    }

    fn time(&mut self, time: Option<Timestamp>) {
        match time {
            Some(time) => self.plain(&time.to_string()),
            None => self.plain(""),
        }
    }

    fn number(&mut self, number: Option<impl std::fmt::Display>) {
        match number {
            Some(number) => self.plain(&number.to_string()),
            None => self.plain(""),
        }
    }

    fn json(&mut self, value: Option<&impl Serialize>) {
        self.scratch.clear();
        if let Some(value) = value {
            serde_json::to_writer(&mut self.scratch, value).expect("only string keys");
        }
        self.writer.write_field(&self.scratch).expect("writing to memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::content::Content;
    use crate::domain::files::ChangedFile;
    use crate::domain::names::HostKey;
    use crate::domain::report::{Kind, Sender, Status, Transition};
    use std::sync::Arc;

    fn entry(message: &str) -> Entry {
        Entry {
            id: 7,
            kind: Kind::Report,
            source: Some(Source::Cron),
            key: HostKey::new("@g", "h,1"),
            time: Timestamp(0),
            reported_at: None,
            received_at: Timestamp(1_500_000),
            content: Arc::new(Content {
                status: Some(Status::OutOfSync),
                changed_files: Some(Files::new(vec![ChangedFile {
                    path: "=a".into(),
                    detail: None,
                }])),
                max_age: Some(60),
                validation_message: Some(message.into()),
                ..Content::default()
            }),
            run: None,
            sender: Arc::new(Sender::default()),
            late: true,
            transition: Transition::Opened,
        }
    }

    #[test]
    fn an_item_is_the_line_and_four_fields() {
        let (mut line, mut item) = (Vec::new(), Vec::new());
        entry("").write_line("o", &mut line);
        let hash = entry("").write_item("o", &mut item);
        assert_eq!(hash, leaf_hash(&line));
        let mut value: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&item).unwrap();
        assert_eq!(value.remove("changed_files_count"), Some(1.into()));
        assert_eq!(value.remove("changed_files_text"), Some("=a".into()));
        assert_eq!(value.remove("status_code"), Some(1.into()));
        assert_eq!(value.remove("hash"), Some(hex(&hash).into()));
        assert_eq!(serde_json::from_slice::<serde_json::Map<_, _>>(&line).unwrap(), value);
        for column in CSV_COLUMNS {
            let known = ["status_code", "changed_files_count", "changed_files_text", "hash"];
            assert!(value.contains_key(column) || known.contains(&column), "{column}");
        }
    }

    fn csv_of(message: &str, raw: bool) -> String {
        let mut items = CsvItems::new(raw);
        items.header();
        items.entry(&entry(message), "o");
        String::from_utf8(items.take()).unwrap()
    }

    #[test]
    fn csv_is_safe_in_a_spreadsheet_unless_raw() {
        let hash = hex(&entry("-1").leaf_hash("o"));
        let header = CSV_COLUMNS.join(",");
        let row = |g: &str, message: &str, text: &str| {
            format!(
                "{header}\r\n1,o,7,report,cron,{g},\"h,1\",1970-01-01T00:00:00Z,,\
                 1970-01-01T00:00:01.5Z,out_of_sync,\"[\"\"=a\"\"]\",,60,,,,,,{message},,,,,,,,,1,\
                 opened,,,,,1,1,{text},{hash}\r\n"
            )
        };
        assert_eq!(csv_of("-1", false), row("'@g", "'-1", "'=a"));
        assert_eq!(csv_of("-1", true), row("@g", "-1", "=a"));
    }

    proptest::proptest! {
        /// Any text comes back from the CSV by the one rule: strip one leading quote.
        #[test]
        fn the_guard_is_reversible(message in "[=+@'\t\r\n,\"a-]{0,6}|\\PC{0,12}") {
            let csv = csv_of(&message, false);
            let record = csv::Reader::from_reader(csv.as_bytes()).records().next().unwrap().unwrap();
            let cell = &record[19];
            proptest::prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝']));
            proptest::prop_assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), message);
        }
    }
}
