//! What a batch writes: statements with their values, one after the other. Who runs them is another
//! matter (`commit`). Texts are made per number of rows and kept prepared. What builds the same tables anew
//! takes its steps from here, too.

use super::batch::{Batch, Growth, KeyRecord, REJECTIONS_KEPT, Rejection};
use super::settle::Settling;
use super::unsettled::HostEntry;
use crate::domain::line::hex;
use crate::domain::state::HostState;
use crate::domain::tree::{Hash, Node};
use crate::store::rows::{HISTORY_COLUMNS, NarrowEntry, STATE_COLUMNS, state_columns};
use serde::Serialize;
use std::sync::OnceLock;

/// Rows of one INSERT: so many, as often as there are, and then as few as are left.
const LARGE_ROWS: usize = 256;
const BLOCK_ROWS: usize = 32;
/// Hosts whose states are written by one text.
const SETTLED_AT_ONCE: usize = BLOCK_ROWS;

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";

// Rows that are rare come as one JSON text, an array for each.
pub(super) const INSERT_HOSTS: &str = "INSERT INTO host (id, server_group, host) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
pub(super) const INSERT_CONTENTS: &str = "INSERT INTO content \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
            value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, \
            value->>15, value->>16, value->>17, value->>18, value->>19, value->>20 \
     FROM json_each(?)";
pub(super) const INSERT_SENDERS: &str = "INSERT INTO sender (id, reported_by, remote_address) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
pub(super) const INSERT_RUNS: &str = "INSERT INTO run (id, run_id, run_url) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
const FORGET_KEYS: &str = "DELETE FROM idempotency WHERE received_at < ?";
const INSERT_KEYS: &str = "INSERT INTO idempotency (token, key, body, ids, received_at) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)";
const INSERT_REJECTIONS: &str = "INSERT INTO rejection (time, source, server_group, host, reason) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)";
const FORGET_REJECTIONS: &str =
    "DELETE FROM rejection WHERE id <= (SELECT max(id) FROM rejection) - ?";
const INSERT_OUT_OF_ORDER: &str = "INSERT INTO out_of_order (host_id, seq) \
     SELECT value->>0, value->>1 FROM json_each(?)";
const INSERT_SUBTREES: &str = "INSERT INTO subtree (level, n, hash) \
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
const SETTLE_ENTRIES: &str = "INSERT OR ROLLBACK INTO host_entry (host_id, time, seq) VALUES ";
const SETTLE_STATES: &str = "INSERT OR REPLACE INTO current_state VALUES ";
const SETTLED: &str = "UPDATE head SET settled = ?, settlings = settlings + 1";

/// A value to be bound.
#[derive(Debug)]
pub(in crate::store) enum Value {
    Integer(Option<i64>),
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
pub(in crate::store) struct Step {
    pub text: &'static str,
    pub values: Vec<Value>,
}

impl Step {
    fn new<const N: usize>(text: &'static str, values: [Value; N]) -> Self {
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
pub(super) fn insert_rows(rows: &[NarrowEntry]) -> impl Iterator<Item = Step> {
    static TEXTS: Texts<HISTORY_COLUMNS> = Texts::new(INSERT_HISTORY);
    in_blocks(&TEXTS, rows, NarrowEntry::columns)
}

/// Takes entries into the index of hosts.
fn settle_entries(entries: &[HostEntry]) -> impl Iterator<Item = Step> {
    static TEXTS: Texts<3> = Texts::new(SETTLE_ENTRIES);
    in_blocks(&TEXTS, entries, |HostEntry { host_id, place }| {
        [Some(*host_id), Some(place.time.0), Some(place.id as i64)]
    })
}

fn in_blocks<T, const COLUMNS: usize>(
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
pub(super) fn grow(before: u64, Growth { tree, kept }: &Growth) -> impl Iterator<Item = Step> {
    let [before, size] = [before, tree.size()].map(|size| Value::from(size as i64));
    let head = Step::new(GROW, [before, size, tree.to_text().into()]);
    std::iter::once(head).chain(keep_subtrees(kept))
}

/// Writes subtrees that are complete, if there are any.
pub(in crate::store) fn keep_subtrees(kept: &[(Node, Hash)]) -> Option<Step> {
    let row = |(node, hash): &(Node, Hash)| (node.level, node.n, hex(&hash.0));
    Step::insert(INSERT_SUBTREES, &kept.iter().map(row).collect::<Vec<_>>())
}

/// Takes the entries behind one, up to another, into the index of times.
pub(super) fn enter_times(after: u64, up_to: u64) -> [Step; 2] {
    let up_to = up_to as i64;
    [
        Step::new(ENTER_TIMES, [(after as i64).into(), up_to.into()]),
        Step::new(TIMED, [up_to.into()]),
    ]
}

/// Remembers keys and lists refused reports, if there are any, and forgets old ones.
pub(super) fn put_aside(batch: &Batch) -> impl Iterator<Item = Step> {
    let keys = batch.keys.iter().map(key_row).collect::<Vec<_>>();
    let rejections = batch.rejections.iter().map(rejection_row).collect::<Vec<_>>();
    let wanted = !(keys.is_empty() && rejections.is_empty());
    let forget = |text, value: i64| wanted.then(|| Step::new(text, [value.into()]));
    [
        forget(FORGET_KEYS, batch.forget_keys_before.0),
        Step::insert(INSERT_KEYS, &keys),
        Step::insert(INSERT_REJECTIONS, &rejections),
        forget(FORGET_REJECTIONS, REJECTIONS_KEPT),
    ]
    .into_iter()
    .flatten()
}

/// Settles hosts, but for what changes their courses: their entries and their states. With them every
/// entry up to `settled` is settled.
pub(super) fn settle(shares: &[Settling], settled: u64) -> impl Iterator<Item = Step> {
    let parts = shares.chunks(SETTLED_AT_ONCE).flat_map(|some| {
        let entries: Vec<_> = some.iter().flat_map(|(share, _)| &share.entries).copied().collect();
        let states = some.iter().map(|(share, up_to)| (&*share.state, *up_to));
        settle_entries(&entries).chain([keep_states(states)]).collect::<Vec<_>>()
    });
    let done = (!shares.is_empty()).then(|| Step::new(SETTLED, [(settled as i64).into()]));
    parts.chain(done)
}

/// Writes the states of up to `SETTLED_AT_ONCE` hosts, each settled up to an entry.
pub(in crate::store) fn keep_states<'a>(
    states: impl ExactSizeIterator<Item = (&'a HostState, u64)>,
) -> Step {
    static TEXTS: Texts<{ STATE_COLUMNS + 1 }> = Texts::new(SETTLE_STATES);
    let text = TEXTS.of(states.len());
    let columns = states.flat_map(|(state, settled)| {
        state_columns(state).into_iter().chain([Some(settled as i64)])
    });
    Step { text, values: columns.map(Value::from).collect() }
}

/// Notes entries that came behind a later one, if there are any: the number of their name, and their id.
pub(in crate::store) fn note_out_of_order(entries: &[(i64, u64)]) -> Option<Step> {
    Step::insert(INSERT_OUT_OF_ORDER, entries)
}

/// The texts that write rows of so many columns, by the number of rows.
struct Texts<const COLUMNS: usize> {
    insert: &'static str,
    blocks: [OnceLock<String>; BLOCK_ROWS + 1],
    large: OnceLock<String>,
}

impl<const COLUMNS: usize> Texts<COLUMNS> {
    const fn new(insert: &'static str) -> Self {
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

pub(super) fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("only strings and integers")
}
