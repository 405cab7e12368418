//! Whether the file itself is sound: its pages, and indexes that say what their tables say.
//!
//! SQLite's `integrity_check` does all of it, but looks every row of the history up in each index, one
//! by one. Here the history's indexes are summed up and compared with its sums instead, which finds
//! what flips on a disk in a tenth of the time; what somebody edits is found by the tree.

use super::Trouble;
use super::connect::Location;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

const QUICK: &str = "PRAGMA quick_check(20)";
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' \
     AND name <> 'drift_history' AND name NOT LIKE 'sqlite_%' ORDER BY name";
const INDEXES: &str = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' \
     AND tbl_name = 'drift_history' ORDER BY name";

/// What is not sound about the file; empty if it is.
pub async fn check_file(location: &Location) -> Result<Vec<String>, Trouble> {
    let mut connection = location.open_reader().await?;
    let mut found = ask(&mut connection, QUICK).await?;
    if found.is_empty() {
        for row in sqlx::query(TABLES).fetch_all(&mut connection).await? {
            let table: String = row.try_get(0)?;
            found
                .extend(ask(&mut connection, &format!("PRAGMA integrity_check('{table}')")).await?);
        }
        found.extend(compare_indexes(&mut connection).await?);
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

async fn compare_indexes(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    for row in sqlx::query(INDEXES).fetch_all(&mut *connection).await? {
        let (index, sql): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let Some((columns, condition)) = parts(&sql) else { continue };
        // A prime, so that every changed bit changes the remainder.
        let sum = |column: &str| format!("total({} % 1000003)", column.trim());
        let sums: Vec<String> = columns.split(',').chain(["seq"]).map(sum).collect();
        let sums = format!("SELECT concat_ws(' ', count(*), {})", sums.join(", "));
        let mut both = Vec::new();
        for way in [format!("INDEXED BY {index}"), "NOT INDEXED".to_owned()] {
            let sql = format!("{sums} FROM drift_history {way} {condition}");
            // As above.
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
            both.push(row.try_get::<String, _>(0)?);
        }
        if both[0] != both[1] {
            found.push(format!("the index {index} does not say what its table says"));
        }
    }
    Ok(found)
}

/// The columns and the condition of an index, out of the statement that made it.
fn parts(sql: &str) -> Option<(&str, &str)> {
    let (_, rest) = sql.split_once('(')?;
    let (columns, condition) = rest.split_once(')')?;
    Some((columns, condition.trim()))
}
