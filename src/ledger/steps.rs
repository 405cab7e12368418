//! What a batch writes: statements with their values, one after the other. Who runs them is another
//! matter (`commit`). Texts are made per number of rows and kept prepared. What builds the same tables anew
//! takes its steps from here, too.

use crate::domain::line::hex;
use crate::domain::tree::{Hash, Node};
use crate::ledger::batch::{Growth, KeyRecord, REJECTIONS_KEPT, Rejection, Truth};
use crate::ledger::rows::{HISTORY_COLUMNS, NarrowEntry};
use serde::Serialize;
use std::sync::OnceLock;

/// Rows of one INSERT: so many, as often as there are, and then as few as are left.
const LARGE_ROWS: usize = 256;
const BLOCK_ROWS: usize = 32;

/// Begins a transaction that writes.
pub const BEGIN: &str = "BEGIN IMMEDIATE";
/// Ends a transaction.
pub const COMMIT: &str = "COMMIT";

// Rows that are rare come as one JSON text, an array for each.
/// New hosts.
pub const INSERT_HOSTS: &str = "INSERT INTO host (id, server_group, host) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
/// New contents.
pub const INSERT_CONTENTS: &str = "INSERT INTO content \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
            value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, \
            value->>15, value->>16, value->>17, value->>18, value->>19, value->>20 \
     FROM json_each(?)";
/// New senders.
pub const INSERT_SENDERS: &str = "INSERT INTO sender (id, reported_by, remote_address) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
/// New runs.
pub const INSERT_RUNS: &str = "INSERT INTO run (id, run_id, run_url) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
const FORGET_KEYS: &str = "DELETE FROM idempotency WHERE received_at < ?";
const INSERT_KEYS: &str = "INSERT INTO idempotency (token, key, body, ids, received_at) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)";
const INSERT_REJECTIONS: &str = "INSERT INTO rejection (time, source, server_group, host, reason) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)";
const FORGET_REJECTIONS: &str =
    "DELETE FROM rejection WHERE id <= (SELECT max(id) FROM rejection) - ?";
/// Subtrees that are complete.
pub const INSERT_SUBTREES: &str = "INSERT INTO subtree (level, n, hash) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
/// How far the history goes, and the tree as it is now. A history that does not go on without a hole where
/// it ended (`?1`) up to there (`?2`) gives a NULL, which is refused: no trigger looks at the recorder's rows
/// one by one.
const GROW: &str = "UPDATE head SET tree_size = ?2, frontier = ?3, size = CASE WHEN size = ?1 \
     AND (SELECT count(*) = ?2 - ?1 AND max(seq) = ?2 FROM drift_history WHERE seq > ?1) \
     AND (?1 = 0 OR EXISTS (SELECT 1 FROM drift_history WHERE seq = ?1)) THEN ?2 END";
// The rows that come all the time are bound value by value, which costs a third of JSON. OR ROLLBACK: a
// failure ends the transaction anyway, and ABORT would keep a copy of every page touched, to be able to
// undo one statement.
const INSERT_HISTORY: &str = "INSERT OR ROLLBACK INTO drift_history (seq, host_id, received_at, lag, \
     ahead, content_id, sender_id, run_id, marks, hash8) VALUES ";
const ENTER_TIMES: &str = "INSERT OR ROLLBACK INTO time_entry (time, seq) \
     SELECT time, seq FROM drift_history WHERE seq > ? AND seq <= ?";
const TIMED: &str = "UPDATE head SET timed = ?";
const INSERT_ARRAYS: &str = "INSERT INTO array (first, entries) \
     SELECT value->>0, value->>1 FROM json_each(?)";

/// A value to be bound.
#[derive(Debug)]
pub enum Value {
    /// An integer, or null.
    Integer(Option<i64>),
    /// A text.
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// A statement, and what is bound into it.
#[derive(Debug)]
pub struct Step {
    /// The statement.
    pub text: &'static str,
    /// What is bound, in order.
    pub values: Vec<Value>,
}

impl Step {
    /// A text with its values.
    pub fn new<const N: usize>(text: &'static str, values: [Value; N]) -> Self {
        Self { text, values: values.into() }
    }

    /// Inserts rows that come as one JSON text; `None` if there are none.
    pub fn insert(text: &'static str, rows: &[impl Serialize]) -> Option<Self> {
        (!rows.is_empty()).then(|| Self::new(text, [json_text(&rows).into()]))
    }

    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        let bytes = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
        self.values.iter().map(bytes).sum()
    }
}

/// Writes rows of the history.
pub fn insert_rows(rows: &[NarrowEntry]) -> impl Iterator<Item = Step> {
    static TEXTS: Texts<HISTORY_COLUMNS> = Texts::new(INSERT_HISTORY);
    in_blocks(&TEXTS, rows, NarrowEntry::columns)
}

/// Rows in as few statements as there are blocks of them.
pub fn in_blocks<T, const COLUMNS: usize>(
    texts: &'static Texts<COLUMNS>,
    rows: &[T],
    columns: impl Fn(&T) -> [Option<i64>; COLUMNS],
) -> impl Iterator<Item = Step> {
    let large = rows.chunks_exact(LARGE_ROWS);
    let rest = large.remainder().chunks(BLOCK_ROWS);
    large.chain(rest).map(move |block| Step {
        text: texts.of(block.len()),
        values: block.iter().flat_map(&columns).map(Value::from).collect(),
    })
}

/// Writes how far the history goes that went up to `before`, the tree as it is now, and the subtrees it
/// completed.
pub fn grow(before: u64, Growth { tree, kept }: &Growth) -> impl Iterator<Item = Step> {
    let [before, size] = [before, tree.size()].map(|size| Value::from(size as i64));
    let head = Step::new(GROW, [before, size, tree.to_text().into()]);
    std::iter::once(head).chain(keep_subtrees(kept))
}

/// Writes subtrees that are complete, if there are any.
pub fn keep_subtrees(kept: &[(Node, Hash)]) -> Option<Step> {
    let row = |(node, hash): &(Node, Hash)| (node.level, node.n, hex(&hash.0));
    Step::insert(INSERT_SUBTREES, &kept.iter().map(row).collect::<Vec<_>>())
}

/// Takes the entries behind one, up to another, into the index of times.
pub fn enter_times(after: u64, up_to: u64) -> [Step; 2] {
    let up_to = up_to as i64;
    [
        Step::new(ENTER_TIMES, [(after as i64).into(), up_to.into()]),
        Step::new(TIMED, [up_to.into()]),
    ]
}

/// Notes what came in arrays, each its first entry and how many.
pub fn note_arrays(arrays: &[(u64, usize)]) -> Option<Step> {
    Step::insert(INSERT_ARRAYS, arrays)
}

/// Remembers keys and lists refused reports, if there are any, and forgets old ones.
pub fn put_aside(truth: &Truth) -> impl Iterator<Item = Step> {
    let keys = truth.keys.iter().map(key_row).collect::<Vec<_>>();
    let rejections = truth.rejections.iter().map(rejection_row).collect::<Vec<_>>();
    let wanted = !(keys.is_empty() && rejections.is_empty());
    let forget = |text, value: i64| wanted.then(|| Step::new(text, [value.into()]));
    [
        forget(FORGET_KEYS, truth.forget_keys_before.0),
        Step::insert(INSERT_KEYS, &keys),
        Step::insert(INSERT_REJECTIONS, &rejections),
        forget(FORGET_REJECTIONS, REJECTIONS_KEPT),
    ]
    .into_iter()
    .flatten()
}

/// The texts that write rows of so many columns, by the number of rows.
pub struct Texts<const COLUMNS: usize> {
    insert: &'static str,
    blocks: [OnceLock<String>; BLOCK_ROWS + 1],
    large: OnceLock<String>,
}

impl<const COLUMNS: usize> Texts<COLUMNS> {
    /// Those that begin with this text.
    pub const fn new(insert: &'static str) -> Self {
        let blocks = [const { OnceLock::new() }; BLOCK_ROWS + 1];
        Self { insert, blocks, large: OnceLock::new() }
    }

    fn of(&'static self, rows: usize) -> &'static str {
        let text = if rows == LARGE_ROWS { &self.large } else { &self.blocks[rows] };
        text.get_or_init(|| [self.insert, &list(rows, COLUMNS)].concat())
    }
}

/// So many rows of question marks.
fn list(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}

fn key_row(key: &KeyRecord) -> impl Serialize + '_ {
    (&key.token, &key.key, &key.body, json_text(&key.ids), key.received_at.0)
}

fn rejection_row(refused: &Rejection) -> impl Serialize + '_ {
    let Rejection { time, source, server_group, host, reason } = refused;
    (time.0, source.code(), server_group, host, &**reason)
}

/// A value as JSON.
pub fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("only strings and integers")
}
