//! Row types, and their way to and from the domain's types.

use crate::domain::content::{Content, ContentDigest, Labels};
use crate::domain::files::{ChangedFile, FileDetail, Files};
use crate::domain::time::Timestamp;
use crate::domain::tree::Hash;
use crate::domain::words::{FileKind, Kind, Source, Status, Transition, ValidationStatus};
use crate::files::columns::Columns;
use crate::files::trouble::Trouble;
use serde_json::Value;

/// A row of `drift_history`: integers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are explained in migrations/V7__marks.sql")]
pub struct NarrowEntry {
    pub id: u64,
    pub host_id: i64,
    pub received_at: Timestamp,
    pub time: Timestamp,
    pub reported_at: Option<Timestamp>,
    pub content_id: i64,
    pub sender_id: i64,
    pub run_id: Option<i64>,
    pub kind: Kind,
    pub source: Option<Source>,
    pub late: bool,
    pub transition: Transition,
    pub hash8: i64,
}

/// The stored columns of a row.
pub const HISTORY_COLUMNS: usize = 10;

/// The columns of [`NarrowEntry`] as one text per row: SQLite builds it, so that a row costs no hop
/// of its own. Missing integers are empty.
pub const PACKED_COLUMNS: &str = "concat_ws(',', h.seq, h.host_id, h.received_at, h.lag, \
     coalesce(h.ahead, ''), h.content_id, h.sender_id, coalesce(h.run_id, ''), h.marks, h.hash8)";

/// What stands in `marks` for an act of a person, which has no source.
const NO_SOURCE: i64 = 7;

impl NarrowEntry {
    /// Reads one packed row; `None` if it is not one (a damaged database).
    pub fn unpack(text: &str) -> Option<Self> {
        let mut rest = Some(text.as_bytes());
        let mut next = || column(&mut rest).ok();
        let id = next()?? as u64;
        let host_id = next()??;
        let received_at = next()??;
        let time = received_at.checked_sub(next()??)?;
        let ahead = next()?;
        let (content_id, sender_id, run_id) = (next()??, next()??, next()?);
        let marks = next()??;
        let entry = Self {
            id,
            host_id,
            received_at: Timestamp(received_at),
            time: Timestamp(time),
            reported_at: ahead.map(|ahead| Timestamp(time + ahead)),
            content_id,
            sender_id,
            run_id,
            kind: Kind::from_code(marks >> 6)?,
            source: match marks & 7 {
                NO_SOURCE => None,
                code => Some(Source::from_code(code)?),
            },
            late: marks >> 3 & 1 != 0,
            transition: Transition::from_code(marks >> 4 & 3)?,
            hash8: next()??,
        };
        rest.is_none().then_some(entry)
    }

    /// The stored columns, in the order of the INSERT.
    pub fn columns(&self) -> [Option<i64>; HISTORY_COLUMNS] {
        let time = self.time.0;
        let source = self.source.map_or(NO_SOURCE, Source::code);
        let marks = source
            | i64::from(self.late) << 3
            | self.transition.code() << 4
            | self.kind.code() << 6;
        [
            Some(self.id as i64),
            Some(self.host_id),
            Some(self.received_at.0),
            Some(self.received_at.0 - time),
            self.reported_at.map(|reported| reported.0 - time),
            Some(self.content_id),
            Some(self.sender_id),
            self.run_id,
            Some(marks),
            Some(self.hash8),
        ]
    }
}

/// What is no packed row.
struct Damaged;

/// Takes the next integer of a packed row, `None` where it is missing; behind the last one `rest` is
/// `None`.
fn column(rest: &mut Option<&[u8]>) -> Result<Option<i64>, Damaged> {
    let text = rest.take().ok_or(Damaged)?;
    let end = text.iter().position(|byte| *byte == b',');
    let (column, behind) = end.map_or((text, None), |end| (&text[..end], Some(&text[end + 1..])));
    *rest = behind;
    if column.is_empty() {
        return Ok(None);
    }
    let digits = column.strip_prefix(b"-").unwrap_or(column);
    // Below zero there is room for one more than above.
    let below = digits.iter().try_fold(0_i64, |below, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        below.checked_mul(10)?.checked_sub(digit)
    });
    let below = below.filter(|_| !digits.is_empty()).ok_or(Damaged)?;
    let value = if digits.len() < column.len() { Some(below) } else { below.checked_neg() };
    value.map(Some).ok_or(Damaged)
}

/// The first 8 bytes of a leaf hash as the integer that the row keeps.
pub fn hash8(hash: &Hash) -> i64 {
    let first: [u8; 8] = hash.0[..8].try_into().expect("a hash has 32 bytes");
    i64::from_be_bytes(first)
}

/// Reads packed rows joined by `;`.
pub fn unpack(packed: Option<&str>) -> Result<Vec<NarrowEntry>, Trouble> {
    let rows = packed.unwrap_or_default().split(';').filter(|row| !row.is_empty());
    let damaged = || Trouble::damaged("a row of drift_history is damaged".into());
    rows.map(|row| NarrowEntry::unpack(row).ok_or_else(damaged)).collect()
}

/// The content columns, in the order of the table, as a JSON array for `INSERT_CONTENT`.
pub fn content_json(id: i64, digest: &ContentDigest, content: &Content) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.0);
    let json = |value: Option<String>| value.map_or(Value::Null, Value::String);
    serde_json::json!([
        id,
        crate::domain::line::hex(digest),
        content.status.map(Status::code),
        json(content.changed_files.as_ref().map(|files| files.json().into_owned())),
        content.declared_count,
        content.max_age,
        i64::from(content.max_age_sent),
        content.project_name,
        content.repo_name,
        content.server_type,
        content.environment,
        content.validation_status.map(ValidationStatus::code),
        content.validation_message,
        content.commit_sha,
        content.branch,
        content.updated_by,
        time(content.last_pipeline_run),
        time(content.last_cron_check),
        json(content.labels.as_ref().map(to_json)),
        content.reason,
        content.detail,
    ])
}

fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("only string keys")
}

/// Reads the first columns of a row of `content`, but for the digest.
pub fn content_from_row(row: &dyn Columns) -> Result<Content, Trouble> {
    let code = |column| row.integer(column);
    let time = |column| row.integer(column).map(|time| time.map(Timestamp));
    let count = |column| row.integer(column).map(|count| count.map(|count| count as u32));
    Ok(Content {
        status: code(1)?.and_then(Status::from_code),
        changed_files: row.text(2)?.map(|json| files_from_json(&json)).transpose()?,
        declared_count: count(3)?,
        max_age: count(4)?,
        max_age_sent: row.number(5)? != 0,
        project_name: row.text(6)?,
        repo_name: row.text(7)?,
        server_type: row.text(8)?,
        environment: row.text(9)?,
        validation_status: code(10)?.and_then(ValidationStatus::from_code),
        validation_message: row.text(11)?,
        commit_sha: row.text(12)?,
        branch: row.text(13)?,
        updated_by: row.text(14)?,
        last_pipeline_run: time(15)?,
        last_cron_check: time(16)?,
        labels: row.text(17)?.map(|json| labels_from_json(&json)).transpose()?.flatten(),
        reason: row.text(18)?,
        detail: row.text(19)?,
    })
}

fn damaged(what: &str) -> Trouble {
    Trouble::damaged(format!("content.{what} is damaged"))
}

/// Reads `content.changed_files`.
pub fn files_from_json(json: &str) -> Result<Files, Trouble> {
    let list: Vec<Value> = serde_json::from_str(json).map_err(|_| damaged("changed_files"))?;
    list.into_iter()
        .map(|element| match element {
            Value::String(path) => Some(ChangedFile { path, detail: None }),
            Value::Object(object) => {
                let text = |key: &str| object.get(key).and_then(Value::as_str);
                let detail = FileDetail {
                    kind: text("kind").and_then(FileKind::from_word),
                    sha256: text("sha256").map(str::to_owned),
                };
                Some(ChangedFile { path: text("path")?.to_owned(), detail: Some(detail) })
            }
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| damaged("changed_files"))
}

fn labels_from_json(json: &str) -> Result<Option<Labels>, Trouble> {
    let map: std::collections::BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|_| damaged("labels"))?;
    Ok(Labels::new(map.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_row_is_taken_whole_or_not_at_all() {
        let good = "7,1,1000,-5,,3,1,,33,-9223372036854775808";
        let row = NarrowEntry::unpack(good).unwrap();
        assert_eq!((row.id, row.time, row.run_id), (7, Timestamp(1005), None));
        assert_eq!((row.reported_at, row.hash8), (None, i64::MIN));
        assert_eq!((row.kind, row.source), (Kind::Report, Some(Source::Cron)));
        assert_eq!((row.late, row.transition), (false, Transition::Changed));
        for bad in [
            "",
            "7,1,1000,-5,,3,1,,33",
            "7,1,1000,-5,,3,1,,33,1,1",
            "7,1,1000,-5,,3,1,,33,1,",
            "7,1,1000,-,,3,1,,33,1",
            "7,1,1000,--5,,3,1,,33,1",
            "7,1,1000,+5,,3,1,,33,1",
            "7,1,1000,x,,3,1,,33,1",
            "7,1,1000,5,,,1,,33,1",
            "7,1,1000,5,,3,1,,33,9223372036854775808",
            "7,1,1000,5,,3,1,,5,1",
            "7,1,1000,5,,3,1,,256,1",
            "7,1,1000,5,,3,1,,-1,1",
        ] {
            assert_eq!(NarrowEntry::unpack(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_row_says_in_its_marks_is_read_back() {
        let sources = (0..5).map(Source::from_code).chain([None]);
        let (mut entry, mut seen) =
            (NarrowEntry::unpack("7,1,9,5,,3,1,,33,1").unwrap(), Vec::new());
        for source in sources {
            for (kind, transition, late) in
                (0..32).map(|n| (Kind::from_code(n >> 3), Transition::from_code(n >> 1 & 3), n & 1))
            {
                (entry.kind, entry.transition) = (kind.unwrap(), transition.unwrap());
                (entry.source, entry.late) = (source, late == 1);
                let columns = entry.columns();
                let text = columns.map(|column| column.map_or(String::new(), |n| n.to_string()));
                assert_eq!(NarrowEntry::unpack(&text.join(",")), Some(entry));
                seen.push(columns[8]);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 6 * 32);
    }
}
