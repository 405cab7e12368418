//! SQLite called on the thread of who writes.
//!
//! sqlx runs SQLite on a thread of its own and sends word of every statement: under load the hops cost
//! more than the SQL. It is the same SQLite, linked once.

use crate::files::trouble::Trouble;
use crate::ledger::batch::CommitError;
use crate::ledger::steps::{BEGIN, COMMIT, Step, Value};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row};

/// Asks a question whose text is kept prepared.
pub fn ask<T>(
    connection: &Connection,
    text: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, Trouble> {
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Begins a transaction that writes.
pub fn begin(connection: &Connection) -> Result<(), Trouble> {
    run(connection, &[Step { text: BEGIN, values: Vec::new() }])
}

/// Ends a transaction that has written.
pub fn commit(connection: &Connection) -> Result<(), CommitError> {
    let done = run(connection, &[Step { text: COMMIT, values: Vec::new() }]);
    done.map_err(commit_failed)
}

/// Runs steps within a transaction. After an error the connection may be amid it: let it go.
pub fn run(connection: &Connection, steps: &[Step]) -> Result<(), Trouble> {
    for Step { text, values } in steps {
        let mut statement = connection.prepare_cached(text)?;
        for (at, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, value)?;
        }
        statement.raw_execute()?;
    }
    Ok(())
}

/// An error of COMMIT leaves open whether the batch is stored, unless SQLite refused it as such (busy,
/// full).
fn commit_failed(cause: Trouble) -> CommitError {
    if cause.is_full() || cause.is_busy() {
        CommitError::NotStored(cause)
    } else {
        CommitError::Unknown(cause)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(None) => ValueRef::Null,
            Self::Integer(Some(integer)) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
