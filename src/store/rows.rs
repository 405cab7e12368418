//! Row types, and their way to and from the domain's types.

use crate::domain::content::{Content, ContentDigest, Labels};
use crate::domain::course::Course;
use crate::domain::files::{ChangedFile, FileDetail};
use crate::domain::place::{Place, Word};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::tree::Hash;
use crate::domain::words::{FileKind, Kind, Source, Status, Transition, ValidationStatus};
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

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
pub fn unpack(packed: Option<&str>) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    let rows = packed.unwrap_or_default().split(';').filter(|row| !row.is_empty());
    let damaged = || sqlx::Error::Decode("a row of drift_history is damaged".into());
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
        json(content.changed_files.as_ref().map(to_json)),
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

/// Selects what [`content_from_row`] reads.
pub const CONTENT_COLUMNS: &str = "id, status, changed_files, declared_count, max_age, \
     max_age_sent, project_name, repo_name, server_type, environment, validation_status, \
     validation_message, commit_sha, branch, updated_by, last_pipeline_run, last_cron_check, \
     labels, reason, detail";

/// Reads a row of [`CONTENT_COLUMNS`].
pub fn content_from_row(row: &SqliteRow) -> Result<(i64, Content), sqlx::Error> {
    let time = |column| row.try_get::<Option<i64>, _>(column).map(|t| t.map(Timestamp));
    let count = |column| row.try_get::<Option<i64>, _>(column).map(|n| n.map(|n| n as u32));
    let files: Option<String> = row.try_get(2)?;
    let labels: Option<String> = row.try_get(17)?;
    let content = Content {
        status: row.try_get::<Option<i64>, _>(1)?.and_then(Status::from_code),
        changed_files: files.map(|json| files_from_json(&json)).transpose()?,
        declared_count: count(3)?,
        max_age: count(4)?,
        max_age_sent: row.try_get::<i64, _>(5)? != 0,
        project_name: row.try_get(6)?,
        repo_name: row.try_get(7)?,
        server_type: row.try_get(8)?,
        environment: row.try_get(9)?,
        validation_status: row.try_get::<Option<i64>, _>(10)?.and_then(ValidationStatus::from_code),
        validation_message: row.try_get(11)?,
        commit_sha: row.try_get(12)?,
        branch: row.try_get(13)?,
        updated_by: row.try_get(14)?,
        last_pipeline_run: time(15)?,
        last_cron_check: time(16)?,
        labels: labels.map(|json| labels_from_json(&json)).transpose()?.flatten(),
        reason: row.try_get(18)?,
        detail: row.try_get(19)?,
    };
    Ok((row.try_get(0)?, content))
}

fn damaged(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("content.{what} is damaged").into())
}

fn files_from_json(json: &str) -> Result<Vec<ChangedFile>, sqlx::Error> {
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

fn labels_from_json(json: &str) -> Result<Option<Labels>, sqlx::Error> {
    let map: std::collections::BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|_| damaged("labels"))?;
    Ok(Labels::new(map.into_iter().collect()))
}

/// Columns of `current_state` that are folded; behind them stands `settled_seq`.
pub const STATE_COLUMNS: usize = 29;

/// A host's state as the folded columns of `current_state`, in the order of the table.
pub fn state_columns(state: &HostState) -> [Option<i64>; STATE_COLUMNS] {
    fn id<T>(word: Option<&Word<T>>) -> Option<i64> {
        word.map(|word| word.place.id as i64)
    }
    fn at(place: Option<Place>) -> Option<i64> {
        place.map(|place| place.id as i64)
    }
    let time = |time: Option<Timestamp>| time.map(|time| time.0);
    let [pipeline, cron, legacy, pushgateway, import] = state.last_by_source.map(time);
    let [segment_start, segment_reports, deployments, episode_reports, episode_drifted] =
        open_columns(&state.course);
    [
        Some(state.host_id),
        Some(state.reports as i64),
        Some(state.first_time.0),
        Some(state.status_in_force().code()),
        Some(state.newest.place.id as i64),
        id(state.deployment.as_ref()),
        id(state.check.as_ref()),
        id(state.status.as_ref()),
        id(state.check_status.as_ref()),
        id(state.files.as_ref()),
        at(state.synced),
        at(state.drifted),
        at(state.drift_start),
        state.newest_legacy_id.map(|id| id as i64),
        Some(state.legacy_reports as i64),
        time(state.last_pipeline_run),
        time(state.last_cron_check),
        time(state.max_reported_at),
        at(state.retired),
        segment_start,
        segment_reports,
        deployments,
        episode_reports,
        episode_drifted,
        pipeline,
        cron,
        legacy,
        pushgateway,
        import,
    ]
}

/// What `current_state` keeps of a course beyond its registers: `segment_start`, `segment_reports`,
/// `segment_deployments`, `episode_reports`, `episode_drifted`.
pub fn open_columns(course: &Course) -> [Option<i64>; 5] {
    let episode = course.episode.as_ref();
    [
        course.open.map(|open| open.start.0),
        Some(course.open.map_or(0, |open| open.reports as i64)),
        Some(course.open.map_or(0, |open| open.deployments as i64)),
        Some(episode.map_or(0, |episode| episode.reports as i64)),
        Some(episode.map_or(0, |episode| episode.drifted)),
    ]
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
