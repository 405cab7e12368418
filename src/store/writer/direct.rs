//! SQLite called on the recorder's own thread: how a batch is committed for which nothing has to be
//! looked up in between, which is nearly every batch.
//!
//! sqlx runs SQLite on a thread of its own and sends word of every statement: under load the hops cost
//! more than the SQL. It is the same SQLite, linked once; what goes wrong is told in sqlx's form.

use super::batch::CommitError;
use super::commit::{commit_failed, not_stored};
use super::steps::{BEGIN, COMMIT, Step, Value};
use crate::store::connect::Location;
use crate::store::failure::in_form;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

/// A writing connection without a thread of its own.
#[derive(Debug)]
pub(super) struct Direct(rusqlite::Connection);

impl Direct {
    pub fn open(location: &Location) -> Result<Self, sqlx::Error> {
        location.open_direct().map(Self).map_err(in_form)
    }

    /// Runs the steps as one transaction. After an error the connection may be amid it: let it go.
    pub fn commit(&self, steps: &[Step]) -> Result<(), CommitError> {
        self.run(BEGIN, &[]).map_err(not_stored)?;
        for Step { text, values } in steps {
            self.run(text, values).map_err(not_stored)?;
        }
        self.run(COMMIT, &[]).map_err(commit_failed)
    }

    fn run(&self, text: &str, values: &[Value]) -> Result<(), sqlx::Error> {
        let run = || {
            let mut statement = self.0.prepare_cached(text)?;
            for (at, value) in values.iter().enumerate() {
                statement.raw_bind_parameter(at + 1, value)?;
            }
            statement.raw_execute()
        };
        run().map(|_| ()).map_err(in_form)
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
