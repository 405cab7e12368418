//! Whether the file itself is sound: its pages, and indexes that say what their tables say.
//!
//! SQLite's `integrity_check` does all of it, but looks every row of the history up in each index, one
//! by one. Here the history's indexes are summed up and compared with its sums instead, which finds
//! what flips on a disk in a tenth of the time; what somebody edits is found by the tree.

use crate::files::connect::Location;
use crate::files::trouble::Trouble;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

const QUICK: &str = "PRAGMA quick_check(20)";
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' \
     AND name <> 'drift_history' AND name NOT LIKE 'sqlite_%' ORDER BY name";
const INDEXES: &str = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' \
     AND tbl_name = 'drift_history' ORDER BY name";

/// Whether a row of the history is in the index of times,
const TIMED: &str = "seq <= (SELECT timed FROM head)";
/// and whether it is projected, and thereby in the index of hosts.
const PROJECTED: &str = "seq <= (SELECT watermark FROM head) OR seq <= coalesce(\
     (SELECT t.applied FROM current_state t WHERE t.host_id = coalesce(\
     (SELECT a.root_id FROM host_alias a WHERE a.host_id = drift_history.host_id), \
     drift_history.host_id)), 0)";
const BY_HOST: &str = "(SELECT host_id, time, seq FROM host_entry \
     UNION ALL SELECT host_id, time, seq FROM host_confirmation)";

/// Indexes that are tables of their own: what they hold beside `seq`, and of which rows.
const TABLES_OF_ENTRIES: [(&str, &str, &str, &str); 2] = [
    ("host_entry", BY_HOST, "host_id, time", PROJECTED),
    ("time_entry", "time_entry", "time", TIMED),
];

/// What is not sound about the file; empty if it is.
pub async fn check_file(location: &Location) -> Result<Vec<String>, Trouble> {
    // Each connection works on a thread of its own.
    let (pages, indexes) = tokio::join!(check_pages(location), compare_indexes(location));
    let found = match pages.map_err(Trouble::from) {
        Err(error) if error.is_corrupt() => vec![error.to_string()],
        found => found?,
    };
    // On a damaged page sums break off, or say the same once more.
    Ok(if found.is_empty() { indexes? } else { found })
}

async fn check_pages(location: &Location) -> Result<Vec<String>, sqlx::Error> {
    let mut connection = location.open_reader().await?;
    let mut found = ask(&mut connection, QUICK).await?;
    if found.is_empty() {
        for row in sqlx::query(TABLES).fetch_all(&mut connection).await? {
            let table: String = row.try_get(0)?;
            found
                .extend(ask(&mut connection, &format!("PRAGMA integrity_check('{table}')")).await?);
        }
    }
    connection.close().await?;
    Ok(found)
}

/// SQLite's own words, if they are other than "ok".
async fn ask(connection: &mut SqliteConnection, pragma: &str) -> Result<Vec<String>, sqlx::Error> {
    // The text is made of constants and of the schema's own names.
    let rows = sqlx::query(AssertSqlSafe(pragma.to_owned())).fetch_all(connection).await?;
    let words = rows.iter().map(|row| row.try_get::<String, _>(0));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    Ok(words.into_iter().filter(|word| word != "ok").collect())
}

async fn compare_indexes(location: &Location) -> Result<Vec<String>, sqlx::Error> {
    let mut connection = location.open_reader().await?;
    let mut snapshot = connection.begin().await?;
    let (mut names, mut said, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for (name, table, columns, has) in TABLES_OF_ENTRIES {
        let sums_of_all = format!("SELECT {} FROM {table}", sums(columns, ""));
        said.extend(texts(&mut snapshot, &sums_of_all).await?);
        wanted.push(sums(columns, &format!("FILTER (WHERE {has})")));
        names.push(name.to_owned());
    }
    for row in sqlx::query(INDEXES).fetch_all(&mut *snapshot).await? {
        let (name, sql): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let Some((columns, condition)) = parts(&sql) else { continue };
        let index = format!("FROM drift_history INDEXED BY {name} {condition}");
        said.extend(texts(&mut snapshot, &format!("SELECT {} {index}", sums(columns, ""))).await?);
        let filter = match condition {
            "" => String::new(),
            condition => format!("FILTER ({condition})"),
        };
        wanted.push(sums(columns, &filter));
        names.push(name);
    }
    // The table is read once for all.
    let table = format!("SELECT {} FROM drift_history NOT INDEXED", wanted.join(", "));
    let wanted = texts(&mut snapshot, &table).await?;
    snapshot.commit().await?;
    connection.close().await?;
    let differs = said.iter().zip(wanted).map(|(said, wanted)| *said != wanted);
    let differing = names.iter().zip(differs).filter(|(_, differs)| *differs);
    Ok(differing
        .map(|(name, _)| format!("the index {name} does not say what its table says"))
        .collect())
}

/// An expression for what columns come to, over the rows that a filter lets through.
fn sums(columns: &str, filter: &str) -> String {
    // A prime, so that every changed bit changes the remainder.
    let sum = |column: &str| format!("total({} % 1000003) {filter}", column.trim());
    let sums: Vec<String> = columns.split(',').chain(["seq"]).map(sum).collect();
    format!("concat_ws(' ', count(*) {filter}, {})", sums.join(", "))
}

/// The one row of an answer that has only texts.
async fn texts(connection: &mut SqliteConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    // The text is made of constants and of what the schema itself says.
    let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await?;
    (0..row.len()).map(|column| row.try_get(column)).collect()
}

/// The columns and the condition of an index, out of the statement that made it.
fn parts(sql: &str) -> Option<(&str, &str)> {
    let (_, rest) = sql.split_once('(')?;
    let (columns, condition) = rest.split_once(')')?;
    Some((columns, condition.trim()))
}
