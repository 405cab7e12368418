//! The line: the one canonical form of an entry, version 1. NDJSON export, leaf of the tree, what
//! an auditor hashes.
//!
//! Canonical JSON (RFC 8785): keys in order, no spaces, strings escaped the short way, integers
//! only. Every key is always there. **The bytes are frozen**: the golden tests below must never be
//! changed, only added to (a new version of the line gets a new `v`).

use super::content::Content;
use super::names::HostKey;
use super::report::{Kind, Run, Sender, Source, Transition};
use super::time::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The version of the line written by this program.
pub const LINE_VERSION: u32 = 1;

/// One row of the history with all that it refers to.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields carry the contract's names and meanings, section 6")]
pub struct Entry {
    pub id: u64,
    pub kind: Kind,
    /// `None` for acts of people.
    pub source: Option<Source>,
    pub key: HostKey,
    pub time: Timestamp,
    pub reported_at: Option<Timestamp>,
    pub received_at: Timestamp,
    pub content: Arc<Content>,
    pub run: Option<Arc<Run>>,
    pub sender: Arc<Sender>,
    pub late: bool,
    pub transition: Transition,
}

/// The line's keys in canonical order; serde writes them as they stand here.
#[derive(Serialize)]
struct LineV1<'a> {
    branch: &'a Option<String>,
    changed_files: &'a Option<Vec<super::report::ChangedFile>>,
    commit_sha: &'a Option<String>,
    declared_count: Option<u32>,
    detail: Option<RawJson<'a>>,
    environment: &'a Option<String>,
    host: &'a str,
    id: Decimal,
    kind: Kind,
    labels: &'a Option<super::content::Labels>,
    last_cron_check: Option<Timestamp>,
    last_pipeline_run: Option<Timestamp>,
    late: u8,
    max_age: Option<u32>,
    origin: &'a str,
    project_name: &'a Option<String>,
    reason: &'a Option<String>,
    received_at: Timestamp,
    remote_address: &'a Option<String>,
    repo_name: &'a Option<String>,
    reported_at: Option<Timestamp>,
    reported_by: &'a Option<String>,
    run_id: Option<&'a str>,
    run_url: Option<&'a str>,
    server_group: &'a str,
    server_type: &'a Option<String>,
    source: Option<Source>,
    status: Option<super::report::Status>,
    time: Timestamp,
    transition: Transition,
    updated_by: &'a Option<String>,
    v: u32,
    validation_message: &'a Option<String>,
    validation_status: Option<super::report::ValidationStatus>,
}

/// `id` is a string in the line: JSON numbers lose digits above 2^53 in some readers.
struct Decimal(u64);

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `detail` is kept as canonical JSON text and goes in as it is.
struct RawJson<'a>(&'a str);

impl Serialize for RawJson<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value =
            serde_json::from_str(self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl Entry {
    /// Appends the line (without line end) to `out`.
    pub fn write_line(&self, origin: &str, out: &mut Vec<u8>) {
        let content = &*self.content;
        let line = LineV1 {
            branch: &content.branch,
            changed_files: &content.changed_files,
            commit_sha: &content.commit_sha,
            declared_count: content.declared_count,
            detail: content.detail.as_deref().map(RawJson),
            environment: &content.environment,
            host: &self.key.host,
            id: Decimal(self.id),
            kind: self.kind,
            labels: &content.labels,
            last_cron_check: content.last_cron_check,
            last_pipeline_run: content.last_pipeline_run,
            late: u8::from(self.late),
            max_age: content.max_age,
            origin,
            project_name: &content.project_name,
            reason: &content.reason,
            received_at: self.received_at,
            remote_address: &self.sender.remote_address,
            repo_name: &content.repo_name,
            reported_at: self.reported_at,
            reported_by: &self.sender.reported_by,
            run_id: self.run.as_ref().and_then(|run| run.run_id.as_deref()),
            run_url: self.run.as_ref().and_then(|run| run.run_url.as_deref()),
            server_group: &self.key.server_group,
            server_type: &content.server_type,
            source: self.source,
            status: content.status,
            time: self.time,
            transition: self.transition,
            updated_by: &content.updated_by,
            v: LINE_VERSION,
            validation_message: &content.validation_message,
            validation_status: content.validation_status,
        };
        serde_json::to_writer(out, &line).expect("a line has only string keys");
    }

    /// About how many bytes this entry takes when it is written.
    pub fn weight(&self) -> usize {
        let content = &*self.content;
        let files: usize = content.files().iter().map(|file| file.path.len() + 100).sum();
        let texts = [&content.validation_message, &content.reason, &content.detail];
        // The paths stand in an item twice.
        900 + 2 * files
            + texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
    }

    /// The leaf hash of this entry's line.
    pub fn leaf_hash(&self, origin: &str) -> [u8; 32] {
        let mut line = Vec::with_capacity(1024);
        self.write_line(origin, &mut line);
        leaf_hash(&line)
    }
}

/// The RFC 6962 leaf hash of a line: SHA-256 over a zero byte and the line's bytes.
pub fn leaf_hash(line: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

/// Lowercase hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::content::Labels;
    use crate::domain::report::{ChangedFile, FileDetail, FileKind, Status, ValidationStatus};

    const ORIGIN: &str = "gitops-status-server/000102030405060708090a0b0c0d0e0f";

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "every field it fills is an Option")]
    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    /// A cron report that says as little as possible.
    fn bare() -> Entry {
        Entry {
            id: 1,
            kind: Kind::Report,
            source: Some(Source::Cron),
            key: HostKey::new("rsyslog-prod", "rsyslog-01"),
            time: time("2026-04-26T10:30:00Z"),
            reported_at: None,
            received_at: time("2026-04-26T10:30:00Z"),
            content: Arc::new(Content { max_age: Some(93_600), ..Content::default() }),
            run: None,
            sender: Arc::new(Sender::default()),
            late: false,
            transition: Transition::Changed,
        }
    }

    /// A pipeline report that says all it can, with what is hard to escape.
    fn full() -> Entry {
        Entry {
            id: 9_007_199_254_740_993,
            source: Some(Source::Pipeline),
            time: time("2026-04-26T10:30:00.25Z"),
            reported_at: Some(time("2026-04-26T10:30:00.25Z")),
            received_at: time("2026-04-26T10:30:01.000001Z"),
            content: Arc::new(Content {
                status: Some(Status::OutOfSync),
                changed_files: Some(vec![
                    ChangedFile { path: "/etc/a,\"b\"\\c".into(), detail: None },
                    ChangedFile {
                        path: "дом/😀".into(),
                        detail: Some(FileDetail { kind: Some(FileKind::Mode), sha256: None }),
                    },
                ]),
                declared_count: Some(3),
                max_age: Some(600),
                max_age_sent: true,
                project_name: text("p"),
                repo_name: text("r"),
                server_type: text("t"),
                environment: text("prod"),
                validation_status: Some(ValidationStatus::Failed),
                validation_message: text("tab\there\nline\u{1}\u{7f}/\u{2028}"),
                commit_sha: text("abc1234567890"),
                branch: text("master"),
                updated_by: text("woodpecker"),
                last_pipeline_run: Some(time("2026-04-26T10:00:00Z")),
                last_cron_check: Some(time("2026-04-26T10:02:00Z")),
                labels: Labels::new(vec![("b".into(), "2".into()), ("a".into(), "1".into())]),
                reason: text("why"),
                detail: text(r#"{"host":"h","server_group":"g"}"#),
            }),
            run: Some(Arc::new(Run { run_id: text("42"), run_url: text("https://ci/42") })),
            sender: Arc::new(Sender { reported_by: text("ci"), remote_address: text("192.0.2.1") }),
            late: true,
            transition: Transition::Opened,
            ..bare()
        }
    }

    /// Frozen: these bytes and hashes are what auditors hold. Never change them.
    #[test]
    fn golden_lines_of_version_1() {
        let golden = [
            (
                bare(),
                concat!(
                    r#"{"branch":null,"changed_files":null,"commit_sha":null,"declared_count":null,"detail":null,"#,
                    r#""environment":null,"host":"rsyslog-01","id":"1","kind":"report","labels":null,"#,
                    r#""last_cron_check":null,"last_pipeline_run":null,"late":0,"max_age":93600,"#,
                    r#""origin":"gitops-status-server/000102030405060708090a0b0c0d0e0f","project_name":null,"reason":null,"#,
                    r#""received_at":"2026-04-26T10:30:00Z","remote_address":null,"repo_name":null,"reported_at":null,"#,
                    r#""reported_by":null,"run_id":null,"run_url":null,"server_group":"rsyslog-prod","server_type":null,"#,
                    r#""source":"cron","status":null,"time":"2026-04-26T10:30:00Z","transition":"changed","updated_by":null,"#,
                    r#""v":1,"validation_message":null,"validation_status":null}"#
                ),
                "c796629cacdb2a193949eb28e8774a7a2ffd6766fc79877f332b60776b52b72c",
            ),
            (
                full(),
                concat!(
                    r#"{"branch":"master","changed_files":["/etc/a,\"b\"\\c",{"kind":"mode","path":"дом/😀","sha256":null}],"#,
                    r#""commit_sha":"abc1234567890","declared_count":3,"detail":{"host":"h","server_group":"g"},"#,
                    r#""environment":"prod","host":"rsyslog-01","id":"9007199254740993","kind":"report","#,
                    r#""labels":{"a":"1","b":"2"},"last_cron_check":"2026-04-26T10:02:00Z","#,
                    r#""last_pipeline_run":"2026-04-26T10:00:00Z","late":1,"max_age":600,"#,
                    r#""origin":"gitops-status-server/000102030405060708090a0b0c0d0e0f","project_name":"p","reason":"why","#,
                    r#""received_at":"2026-04-26T10:30:01.000001Z","remote_address":"192.0.2.1","repo_name":"r","#,
                    r#""reported_at":"2026-04-26T10:30:00.25Z","reported_by":"ci","run_id":"42","run_url":"https://ci/42","#,
                    r#""server_group":"rsyslog-prod","server_type":"t","source":"pipeline","status":"out_of_sync","#,
                    r#""time":"2026-04-26T10:30:00.25Z","transition":"opened","updated_by":"woodpecker","v":1,"#,
                    "\"validation_message\":\"tab\\there\\nline\\u0001\u{7f}/\u{2028}\",",
                    r#""validation_status":"failed"}"#
                ),
                "b97e8f7ea7e4bd64baa16b7bd8a1cbdc40032ba7e9109fa1b76fd0a847d7bff6",
            ),
        ];
        for (entry, line, hash) in golden {
            let mut out = Vec::new();
            entry.write_line(ORIGIN, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), line);
            assert_eq!(hex(&leaf_hash(&out)), hash);
        }
    }

    #[test]
    fn keys_stand_in_canonical_order() {
        let mut out = Vec::new();
        full().write_line(ORIGIN, &mut out);
        let value: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&out).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), String::from_utf8(out).unwrap());
    }

    #[test]
    fn the_leaf_hash_is_that_of_rfc_6962() {
        // The empty leaf of RFC 6962: SHA-256 of one zero byte.
        assert_eq!(
            hex(&leaf_hash(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }
}
