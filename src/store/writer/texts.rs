//! The texts of a batch and the values bound into them. Texts are made per number of rows and kept
//! prepared.

use super::batch::{Growth, KeyRecord, Rejection};
use super::settle::{SETTLED_AT_ONCE, Settling};
use crate::domain::line::hex;
use crate::domain::tree::{Hash, Node};
use crate::store::rows::{HISTORY_COLUMNS, NarrowEntry, STATE_COLUMNS, state_columns};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;
use std::sync::OnceLock;

/// Rows of the usual batch, which is one text.
pub(super) const BLOCK_ROWS: usize = 32;
/// Rows of one INSERT of a large batch.
pub(super) const LARGE_ROWS: usize = 256;
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE;";
// OR ROLLBACK: a failure ends the transaction anyway, and ABORT would keep a copy of every page
// touched, to be able to undo one statement.
const INSERT_HISTORY: &str = "INSERT OR ROLLBACK INTO drift_history (seq, host_id, received_at, lag, \
     ahead, content_id, sender_id, run_id, marks, hash8) VALUES ";
const SETTLE_ENTRIES: &str = "INSERT OR ROLLBACK INTO host_entry (host_id, time, seq) \
     SELECT h.host_id, h.time, h.seq FROM json_each(?) g CROSS JOIN drift_history h ON h.seq = g.value;";
const SETTLE_STATES: &str = "INSERT OR REPLACE INTO current_state VALUES ";
const SETTLED: &str = "UPDATE head SET settled = ?, settlings = settlings + 1;";
const GROW_HEAD: &str = "UPDATE head SET size = ?, tree_size = ?, frontier = ?;";
/// Writes how far the history goes, the tree as it is now, and the subtrees it completed.
pub(super) const GROW: &str = "UPDATE head SET size = $1, tree_size = $2, frontier = $3; \
     INSERT INTO subtree (level, n, hash) \
     SELECT value->>0, value->>1, value->>2 FROM json_each($4);";
pub(super) const COMMIT: &str = "COMMIT;";

/// So many rows of question marks.
fn list(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}

/// What stands around the rows of a text.
#[derive(Clone, Copy)]
pub(super) enum Around {
    /// Nothing: they are some of many.
    Nothing,
    /// BEGIN before them, and the head behind.
    Begin,
    /// BEGIN before them; the head and COMMIT behind.
    Whole,
}

/// The text that writes `rows` history rows (at most [`BLOCK_ROWS`], or [`LARGE_ROWS`]).
pub(super) fn block_text(rows: usize, around: Around) -> &'static str {
    static TEXTS: [[OnceLock<String>; 3]; BLOCK_ROWS + 1] =
        [const { [const { OnceLock::new() }; 3] }; BLOCK_ROWS + 1];
    static LARGE: OnceLock<String> = OnceLock::new();
    let cell = if rows == LARGE_ROWS { &LARGE } else { &TEXTS[rows][around as usize] };
    cell.get_or_init(|| {
        let (begin, head, commit) = match around {
            Around::Nothing => ("", "", ""),
            Around::Begin => (BEGIN, GROW_HEAD, ""),
            Around::Whole => (BEGIN, GROW_HEAD, COMMIT),
        };
        let history = format!("{INSERT_HISTORY}{};", list(rows, HISTORY_COLUMNS));
        [begin, &history, head, commit].concat()
    })
}

/// The values of one block.
pub(super) fn bind_block(rows: &[NarrowEntry]) -> SqliteArguments {
    let mut values = SqliteArguments::default();
    values.reserve(rows.len() * HISTORY_COLUMNS + 3, 0);
    for row in rows {
        for column in row.columns() {
            add(&mut values, column);
        }
    }
    values
}

/// The text that settles so many hosts: their entries, their states (a power of two of them), and the
/// head; with COMMIT behind them or without.
pub(super) fn settle_text(hosts: usize, commit: bool) -> &'static str {
    const POWERS: usize = SETTLED_AT_ONCE.ilog2() as usize + 1;
    static TEXTS: [[OnceLock<String>; 2]; POWERS] =
        [const { [const { OnceLock::new() }; 2] }; POWERS];
    let power = hosts.next_power_of_two().ilog2() as usize;
    TEXTS[power][usize::from(commit)].get_or_init(|| {
        let states = list(1 << power, STATE_COLUMNS + 1);
        let commit = if commit { COMMIT } else { "" };
        format!("{SETTLE_ENTRIES}{SETTLE_STATES}{states};{SETTLED}{commit}")
    })
}

/// By how much `head.settlings` rises with so many hosts.
pub(super) fn settlings(hosts: usize) -> i64 {
    hosts.div_ceil(SETTLED_AT_ONCE) as i64
}

/// The values of [`settle_text`]; the last state is written again up to the power of two.
pub(super) fn bind_settle(shares: &[Settling], settled: u64) -> SqliteArguments {
    let mut values = SqliteArguments::default();
    let entries = shares.iter().flat_map(|(share, _)| &share.entries);
    add(&mut values, json_text(&entries.collect::<Vec<_>>()));
    for index in 0..shares.len().next_power_of_two() {
        let (share, up_to) = &shares[index.min(shares.len() - 1)];
        for column in state_columns(&share.state) {
            add(&mut values, column);
        }
        add(&mut values, *up_to as i64);
    }
    add(&mut values, settled as i64);
    values
}

/// The size of history and tree, and the tree's frontier behind them, if they have grown.
pub(super) fn add_growth(values: &mut SqliteArguments, growth: Option<&Growth>) {
    if let Some(Growth { tree, .. }) = growth {
        add(values, tree.size() as i64);
        add(values, tree.size() as i64);
        add(values, tree.to_text());
    }
}

/// Subtrees as rows of a JSON text.
pub(in crate::store) fn kept_json(kept: &[(Node, Hash)]) -> String {
    let row = |(node, hash): &(Node, Hash)| (node.level, node.n, hex(&hash.0));
    json_text(&kept.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn texts(texts: &[String]) -> SqliteArguments {
    let mut values = SqliteArguments::default();
    for text in texts {
        add(&mut values, text.clone());
    }
    values
}

pub(super) fn add<'q, T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + 'q>(
    values: &mut SqliteArguments,
    value: T,
) {
    values.add(value).expect("integers and texts always encode");
}

pub(super) fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("only strings and integers")
}

pub(super) fn keys_json(keys: &[KeyRecord]) -> String {
    let row = |k: &KeyRecord| {
        serde_json::json!([k.token, k.key, k.body, json_text(&k.ids), k.received_at.0])
    };
    json_text(&keys.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn rejections_json(rejections: &[Rejection]) -> String {
    let row = |r: &Rejection| {
        serde_json::json!([r.time.0, r.source.code(), r.server_group, r.host, &*r.reason])
    };
    json_text(&rejections.iter().map(row).collect::<Vec<_>>())
}
