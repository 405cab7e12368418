//! The Merkle tree as it is kept: its head, the nodes of proofs, and building it over a history that
//! is older than it.
//!
//! Leaf hashes are not kept, they are worked out from the rows; so a leaf always says what its row
//! says now, and the kept subtrees say what the rows said when they were written.

use crate::domain::line::{Entry, LineWriter, hex, leaf_hash, unhex};
use crate::domain::tree::{Frontier, Hash, KEPT_LEAVES, KEPT_LEVELS, Node, Nodes, Question, fold};
use crate::files::connect::Location;
use crate::files::threads::Progress;
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use crate::ledger::rows::{NarrowEntry, PACKED_COLUMNS, hash8, unpack};
use crate::ledger::steps::INSERT_SUBTREES;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::sync::{Arc, LazyLock};

/// Leaves of one step of building; also of one transaction, so that an interrupted start goes on
/// where it was.
const STEP: u64 = 64 * KEPT_LEAVES;

const HEAD: &str = "SELECT origin, tree_size, frontier, signed FROM head";
const SIGNED: &str = "UPDATE head SET signed = 1";
const STATE: &str = "SELECT origin, size, tree_size, frontier FROM head";
const SUBTREES: &str = "SELECT group_concat(hash, '') FROM \
     (SELECT hash FROM subtree WHERE level = $1 AND n >= $2 AND n < $3 ORDER BY n)";
const BUILT: &str = "UPDATE head SET tree_size = $1, frontier = $2";
/// Rows of a stretch of ids, packed.
static ROWS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT group_concat(row, ';') FROM (SELECT {PACKED_COLUMNS} AS row \
         FROM drift_history h WHERE h.seq > $1 AND h.seq <= $2 ORDER BY h.seq)"
    )
});

/// The tree at a moment.
#[derive(Debug, Clone)]
pub struct TreeHead {
    /// The history's name.
    pub origin: Arc<str>,
    /// Its tree.
    pub tree: Frontier,
    /// Whether checkpoints of it have been signed.
    pub signed: bool,
}

/// The tree over everything committed so far, by whomever.
pub async fn tree_head(connection: &mut SqliteConnection) -> Result<TreeHead, sqlx::Error> {
    let row = sqlx::query(HEAD).fetch_one(connection).await?;
    let size: i64 = row.try_get(1)?;
    let tree = Frontier::from_text(size as u64, row.try_get(2)?);
    let tree = tree.ok_or_else(|| damaged("head.frontier is not a tree of head.tree_size"))?;
    let signed = row.try_get::<i64, _>(3)? != 0;
    Ok(TreeHead { origin: row.try_get::<String, _>(0)?.into(), tree, signed })
}

/// The tree of a database that no server has open.
pub async fn tree_head_of(location: &Location) -> Result<TreeHead, Trouble> {
    let mut connection = location.open_reader().await?;
    let head = tree_head(&mut connection).await?;
    connection.close().await?;
    Ok(head)
}

/// Notes that checkpoints have been signed.
pub async fn note_signed(location: &Location) -> Result<(), Trouble> {
    let mut connection = location.open_writer().await?;
    sqlx::query(SIGNED).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// The hashes that answer a question about a tree that is not larger than the present one.
pub async fn prove(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    origin: &str,
    question: Question,
) -> Result<Vec<Hash>, sqlx::Error> {
    let mut nodes = Nodes::new();
    for node in question.nodes() {
        let parts = if node.level < KEPT_LEVELS {
            leaves(connection, dictionary, origin, node.first(), node.first() + node.leaves())
                .await?
        } else {
            kept_below(connection, node).await?
        };
        nodes.insert(node, fold(parts));
    }
    question.answer(&nodes).map_err(|error| damaged(&error.to_string()))
}

/// The kept hashes that a node is made of, itself perhaps.
async fn kept_below(
    connection: &mut SqliteConnection,
    node: Node,
) -> Result<Vec<Hash>, sqlx::Error> {
    let level = node.level / KEPT_LEVELS * KEPT_LEVELS;
    let each = node.level - level;
    subtrees(connection, level, node.n << each, (node.n + 1) << each).await
}

/// The kept hashes of a level from `first` up to, not including, `end`; all of them, or an error.
async fn subtrees(
    connection: &mut SqliteConnection,
    level: u8,
    first: u64,
    end: u64,
) -> Result<Vec<Hash>, sqlx::Error> {
    let query = sqlx::query(SUBTREES).bind(level).bind(first as i64).bind(end as i64);
    let row = query.fetch_one(connection).await?;
    let digits: String = row.try_get::<Option<String>, _>(0)?.unwrap_or_default();
    let hashes = digits.as_bytes().chunks(64).map(|digits| unhex(digits).map(Hash));
    let hashes: Option<Vec<Hash>> = hashes.collect();
    hashes
        .filter(|hashes| hashes.len() as u64 == end - first)
        .ok_or_else(|| damaged(&format!("a subtree of level {level} from {first} on is missing")))
}

/// The leaf of an entry as its row is now; `None` if there is none of this id.
pub async fn entry_hash(
    location: &Location,
    dictionary: &Dictionary,
    origin: &str,
    id: u64,
) -> Result<Option<Hash>, Trouble> {
    let mut connection = location.open_reader().await?;
    let rows = rows(&mut connection, id - 1, id).await?;
    let leaves = leaves_of(&mut connection, dictionary, origin, &rows).await?;
    connection.close().await?;
    Ok(leaves.first().copied())
}

/// The rows with ids above `after` up to `last`, in order. Rows that are missing are missing here.
pub async fn rows(
    connection: &mut SqliteConnection,
    after: u64,
    last: u64,
) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    // The text is put together from constants.
    let query = sqlx::query(AssertSqlSafe(ROWS.as_str())).bind(after as i64).bind(last as i64);
    let row = query.fetch_one(connection).await?;
    Ok(unpack(row.try_get::<Option<&str>, _>(0)?)?)
}

/// The leaves of rows, as the rows are now.
pub async fn leaves_of(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    origin: &str,
    rows: &[NarrowEntry],
) -> Result<Vec<Hash>, sqlx::Error> {
    let entries = dictionary.resolve(connection, rows).await?;
    let (mut line, mut writer) = (Vec::with_capacity(1024), LineWriter::new(origin));
    let leaf = |entry: &Entry| {
        line.clear();
        writer.write(entry, &mut line);
        Hash(leaf_hash(&line))
    };
    Ok(entries.iter().map(leaf).collect())
}

/// The leaves from `first` (counted from 0) up to, not including, `end`.
pub async fn leaves(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    origin: &str,
    first: u64,
    end: u64,
) -> Result<Vec<Hash>, sqlx::Error> {
    let rows = rows(connection, first, end).await?;
    if rows.len() as u64 != end - first {
        return Err(damaged(&format!("an entry between {} and {end} is missing", first + 1)));
    }
    leaves_of(connection, dictionary, origin, &rows).await
}

/// The hashes of nodes, which are in the order of their leaves. Blocks of which only parts are wanted
/// are hashed once.
pub async fn hashes_of(
    location: &Location,
    dictionary: &Dictionary,
    origin: &str,
    nodes: &[Node],
    progress: Progress<'_>,
) -> Result<Vec<Hash>, Trouble> {
    let mut connection = location.open_reader().await?;
    let last = nodes.last().map_or(0, |node| node.first() + node.leaves());
    let mut block = (u64::MAX, Vec::new());
    let mut hashes = Vec::with_capacity(nodes.len());
    for node in nodes {
        let parts = if node.level >= KEPT_LEVELS {
            kept_below(&mut connection, *node).await?
        } else {
            let first = node.first() / KEPT_LEAVES * KEPT_LEAVES;
            if block.0 != first {
                let end = (first + KEPT_LEAVES).min(last);
                block = (first, leaves(&mut connection, dictionary, origin, first, end).await?);
                progress(first, last);
            }
            let at = (node.first() - first) as usize;
            block.1[at..at + node.leaves() as usize].to_vec()
        };
        hashes.push(fold(parts));
    }
    connection.close().await?;
    Ok(hashes)
}

/// Builds the tree over a history that is older than it. Answers whether there was anything to do.
/// Stops at a row that no longer is what it was when it was written.
pub async fn grow_over_history(
    location: &Location,
    dictionary: &Dictionary,
    progress: Progress<'_>,
) -> Result<bool, Trouble> {
    let mut connection = location.open_writer().await?;
    let Some(row) = sqlx::query(STATE).fetch_optional(&mut connection).await? else {
        return Ok(false);
    };
    let (origin, total): (String, u64) = (row.try_get(0)?, row.try_get::<i64, _>(1)? as u64);
    let built = row.try_get::<i64, _>(2)? as u64;
    let tree = Frontier::from_text(built, row.try_get(3)?);
    let mut tree = tree.ok_or_else(|| damaged("head.frontier is not a tree of head.tree_size"))?;
    while tree.size() < total {
        step(&mut connection, dictionary, &origin, &mut tree, total).await?;
        progress(tree.size(), total);
    }
    connection.close().await?;
    Ok(built < total)
}

/// Appends some leaves to the tree, in a transaction.
async fn step(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    origin: &str,
    tree: &mut Frontier,
    total: u64,
) -> Result<(), sqlx::Error> {
    let (first, mut kept) = (tree.size(), Vec::new());
    let end = (first + STEP).min(total);
    let stored = rows(connection, first, end).await?;
    let leaves = leaves_of(connection, dictionary, origin, &stored).await?;
    for (id, (row, leaf)) in (first + 1..=end).zip(stored.iter().zip(&leaves)) {
        if row.id != id || row.hash8 != hash8(leaf) {
            return Err(damaged(&format!("entry {id} is not what was recorded under this id")));
        }
        tree.push(*leaf, &mut kept);
    }
    if tree.size() != end {
        return Err(damaged(&format!("entry {} is missing", tree.size() + 1)));
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let query = sqlx::query(BUILT).bind(tree.size() as i64).bind(tree.to_text());
    query.execute(&mut *transaction).await?;
    let rows = kept.iter().map(|(node, hash)| (node.level, node.n, hex(&hash.0)));
    let rows =
        serde_json::to_string(&rows.collect::<Vec<_>>()).expect("texts and numbers are JSON");
    sqlx::query(INSERT_SUBTREES).bind(rows).execute(&mut *transaction).await?;
    transaction.commit().await
}

fn damaged(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

const _: () = assert!(KEPT_LEAVES == Node { level: KEPT_LEVELS, n: 0 }.leaves());
