//! The line: the one canonical form of an entry, version 1. NDJSON export, leaf of the tree, what
//! an auditor hashes.
//!
//! Canonical JSON (RFC 8785): keys in order, no spaces, strings escaped the short way, integers only
//! (and `id` a string: JSON numbers lose digits above 2^53 in some readers). Every key is always
//! there. **The bytes are frozen**: the golden tests below must never be changed, only added to (a new
//! version of the line gets a new `v`).

use super::content::Content;
use super::names::HostKey;
use super::report::{Kind, Run, Sender, Source, Transition};
use super::time::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
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

/// Bytes of parts that a [`LineWriter`] remembers.
const REMEMBERED: usize = 4 << 20;

/// Writes lines of one history. What entries of the same content have in common is put into bytes
/// once: most reports repeat the one before.
#[derive(Debug)]
pub struct LineWriter {
    origin: String,
    /// By the address of the content, which is kept so that no other gets it.
    known: HashMap<usize, (Arc<Content>, Parts)>,
    bytes: usize,
}

impl LineWriter {
    /// For the history of this name.
    pub fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), known: HashMap::new(), bytes: 0 }
    }

    /// Appends an entry's line (without line end) to `out`.
    pub fn write(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        if self.bytes > REMEMBERED {
            self.known.clear();
            self.bytes = 0;
        }
        let address = Arc::as_ptr(&entry.content) as usize;
        let (_, parts) = self.known.entry(address).or_insert_with(|| {
            let parts = Parts::of(&entry.content);
            self.bytes += parts.text.len() + size_of::<Content>();
            (entry.content.clone(), parts)
        });
        write_line(entry, &self.origin, out, |part, out| out.extend_from_slice(parts.get(part)));
    }
}

/// What the content says in a line, in bytes.
#[derive(Debug)]
struct Parts {
    text: Vec<u8>,
    ends: [usize; PARTS],
}

/// In so many parts the content's keys stand between the others.
const PARTS: usize = 8;

impl Parts {
    fn of(content: &Content) -> Self {
        let mut text = Vec::with_capacity(512);
        let ends = std::array::from_fn(|part| {
            write_part(content, part, &mut text);
            text.len()
        });
        Self { text, ends }
    }

    fn get(&self, part: usize) -> &[u8] {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[part]]
    }
}

/// The whole line; `content` writes the parts of it that [`write_part`] has.
fn write_line(
    entry: &Entry,
    origin: &str,
    out: &mut Vec<u8>,
    content: impl Fn(usize, &mut Vec<u8>),
) {
    let run = entry.run.as_deref();
    content(0, out);
    put(out, ",\"host\":", &entry.key.host);
    put(out, ",\"id\":\"", &entry.id);
    put(out, "\",\"kind\":", &entry.kind);
    content(1, out);
    put(out, ",\"late\":", &u8::from(entry.late));
    content(2, out);
    put(out, ",\"origin\":", origin);
    content(3, out);
    put(out, ",\"received_at\":", &entry.received_at);
    put(out, ",\"remote_address\":", &entry.sender.remote_address);
    content(4, out);
    put(out, ",\"reported_at\":", &entry.reported_at);
    put(out, ",\"reported_by\":", &entry.sender.reported_by);
    put(out, ",\"run_id\":", &run.and_then(|run| run.run_id.as_deref()));
    put(out, ",\"run_url\":", &run.and_then(|run| run.run_url.as_deref()));
    put(out, ",\"server_group\":", &entry.key.server_group);
    content(5, out);
    put(out, ",\"source\":", &entry.source);
    content(6, out);
    put(out, ",\"time\":", &entry.time);
    put(out, ",\"transition\":", &entry.transition);
    content(7, out);
}

/// One part of what the content says.
fn write_part(content: &Content, part: usize, out: &mut Vec<u8>) {
    match part {
        0 => {
            put(out, "{\"branch\":", &content.branch);
            put(out, ",\"changed_files\":", &content.changed_files);
            put(out, ",\"commit_sha\":", &content.commit_sha);
            put(out, ",\"declared_count\":", &content.declared_count);
            put(out, ",\"detail\":", &content.detail.as_deref().map(RawJson));
            put(out, ",\"environment\":", &content.environment);
        }
        1 => {
            put(out, ",\"labels\":", &content.labels);
            put(out, ",\"last_cron_check\":", &content.last_cron_check);
            put(out, ",\"last_pipeline_run\":", &content.last_pipeline_run);
        }
        2 => put(out, ",\"max_age\":", &content.max_age),
        3 => {
            put(out, ",\"project_name\":", &content.project_name);
            put(out, ",\"reason\":", &content.reason);
        }
        4 => put(out, ",\"repo_name\":", &content.repo_name),
        5 => put(out, ",\"server_type\":", &content.server_type),
        6 => put(out, ",\"status\":", &content.status),
        _ => {
            put(out, ",\"updated_by\":", &content.updated_by);
            put(out, ",\"v\":", &LINE_VERSION);
            put(out, ",\"validation_message\":", &content.validation_message);
            put(out, ",\"validation_status\":", &content.validation_status);
            out.push(b'}');
        }
    }
}

fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, key: &str, value: &T) {
    out.extend_from_slice(key.as_bytes());
    serde_json::to_writer(out, value).expect("a line has only string keys");
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
        write_line(self, origin, out, |part, out| write_part(&self.content, part, out));
    }

    /// About how many bytes this entry takes when it is written.
    pub fn weight(&self) -> usize {
        let content = &*self.content;
        let files = content.changed_files.as_ref().map_or(0, |f| f.path_bytes() + 100 * f.len());
        let texts = [&content.validation_message, &content.reason, &content.detail];
        // The paths stand in an item twice.
        900 + 2 * files
            + texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
    }

    /// The leaf hash of this entry's line, which is written into `line` instead of what it held.
    pub fn leaf_hash_with(&self, origin: &str, line: &mut Vec<u8>) -> [u8; 32] {
        line.clear();
        self.write_line(origin, line);
        leaf_hash(line)
    }

    /// The leaf hash of this entry's line.
    pub fn leaf_hash(&self, origin: &str) -> [u8; 32] {
        self.leaf_hash_with(origin, &mut Vec::with_capacity(self.weight()))
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

/// Reads hex digits of either case: two for each byte, and nothing else.
pub fn unhex<const N: usize>(digits: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_ref().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? << 4 | low?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::content::Labels;
    use crate::domain::files::{ChangedFile, FileDetail, Files};
    use crate::domain::words::{FileKind, Status, ValidationStatus};

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
                changed_files: Some(Files::new(vec![
                    ChangedFile { path: "/etc/a,\"b\"\\c".into(), detail: None },
                    ChangedFile {
                        path: "дом/😀".into(),
                        detail: Some(FileDetail { kind: Some(FileKind::Mode), sha256: None }),
                    },
                ])),
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
    fn lines_are_the_same_with_what_is_remembered() {
        let mut writer = LineWriter::new(ORIGIN);
        let (mut bare, mut full) = (bare(), full());
        for round in 0..3 {
            bare.late = round == 1;
            full.id += round;
            for entry in [&bare, &full, &Entry { content: bare.content.clone(), ..full.clone() }] {
                let (mut alone, mut remembered) = (Vec::new(), Vec::new());
                entry.write_line(ORIGIN, &mut alone);
                writer.write(entry, &mut remembered);
                assert_eq!(alone, remembered);
            }
        }
        assert_eq!(writer.known.len(), 2);
        writer.bytes = REMEMBERED + 1;
        writer.write(&Entry { content: Arc::default(), ..bare }, &mut Vec::new());
        assert_eq!(writer.known.len(), 1);
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
    fn hex_digits_are_read_strictly() {
        assert_eq!(unhex(hex(&[0, 9, 0xaf, 255])), Some([0, 9, 0xaf, 255]));
        assert_eq!(unhex("AbCd"), Some([0xab, 0xcd]));
        for wrong in ["", "ab", "abc", "abcde", "abcdef", "+1+1", "0x01", "ab d", "ü12", "gggg"] {
            assert_eq!(unhex::<2>(wrong), None, "{wrong}");
        }
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
