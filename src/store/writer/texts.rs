//! The texts of a batch and the values bound into them. Texts are made per number of rows and kept
//! prepared.

use super::batch::{Growth, KeyRecord, Rejection};
use crate::domain::line::hex;
use crate::domain::state::HostState;
use crate::domain::tree::{Hash, Node};
use crate::store::rows::{NarrowEntry, STATE_COLUMNS, state_columns};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;
use std::sync::{Arc, OnceLock};

/// Rows of one INSERT.
pub(super) const BLOCK_ROWS: usize = 32;
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE;";
// OR ROLLBACK: a failure ends the transaction anyway, and ABORT would keep a copy of every page
// touched, to be able to undo one statement.
const INSERT_HISTORY: &str = "INSERT OR ROLLBACK INTO drift_history (seq, host_id, received_at, lag, \
     ahead, content_id, sender_id, run_id, kind, source, late, transition, hash8) VALUES ";
const HISTORY_COLUMNS: usize = 13;
const UPSERT_STATE: &str = "INSERT OR REPLACE INTO current_state VALUES ";
const GROW_TREE: &str = "UPDATE head SET tree_size = ?, frontier = ?;";
/// Writes the tree as it is now, and the subtrees it completed.
pub(super) const GROW: &str = "UPDATE head SET tree_size = $1, frontier = $2; \
     INSERT INTO subtree (level, n, hash) \
     SELECT value->>0, value->>1, value->>2 FROM json_each($3);";
pub(super) const COMMIT: &str = "COMMIT;";

/// The text that writes `rows` history rows and as many states; `whole`: from BEGIN to COMMIT.
pub(super) fn block_text(rows: usize, whole: bool) -> &'static str {
    static TEXTS: [[OnceLock<String>; 2]; BLOCK_ROWS + 1] =
        [const { [const { OnceLock::new() }; 2] }; BLOCK_ROWS + 1];
    TEXTS[rows][usize::from(whole)].get_or_init(|| {
        let list = |columns: usize| {
            let row = format!("({})", vec!["?"; columns].join(","));
            vec![row; rows].join(",")
        };
        let history = format!("{INSERT_HISTORY}{};", list(HISTORY_COLUMNS));
        let states = format!("{UPSERT_STATE}{};", list(STATE_COLUMNS));
        let (begin, tree, commit) = if whole { (BEGIN, GROW_TREE, COMMIT) } else { ("", "", "") };
        [begin, &history, &states, tree, commit].concat()
    })
}

/// The text that writes one history row and no state: a renaming folds its host anew.
pub(super) fn lone_row() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{INSERT_HISTORY}({});", vec!["?"; HISTORY_COLUMNS].join(",")))
}

/// The values of one block: its rows, then as many states, beginning with state `first`. There are
/// never more states than entries; where there are fewer, the last is written again.
pub(super) fn bind_block(
    rows: &[NarrowEntry],
    states: &[Arc<HostState>],
    first: usize,
) -> SqliteArguments {
    let mut values = SqliteArguments::default();
    values.reserve(rows.len() * (HISTORY_COLUMNS + STATE_COLUMNS), 0);
    for row in rows {
        for column in row.columns() {
            add(&mut values, column);
        }
    }
    let states_written = if states.is_empty() { 0 } else { rows.len() };
    for index in first..first + states_written {
        let state = &states[index.min(states.len() - 1)];
        for column in state_columns(state) {
            add(&mut values, column);
        }
    }
    values
}

/// The tree's size and frontier behind them, if it has grown.
pub(super) fn add_tree(values: &mut SqliteArguments, growth: Option<&Growth>) {
    if let Some(Growth { tree, .. }) = growth {
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
