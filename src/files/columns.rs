//! Columns of a row, whichever driver has read it.

use crate::files::trouble::Trouble;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A row as far as our tables need it: integers and texts.
pub trait Columns {
    /// An integer; `None` for null.
    fn integer(&self, at: usize) -> Result<Option<i64>, Trouble>;
    /// A text; `None` for null.
    fn text(&self, at: usize) -> Result<Option<String>, Trouble>;

    /// An integer that is never null.
    fn number(&self, at: usize) -> Result<i64, Trouble> {
        self.integer(at)?.ok_or_else(|| Trouble::damaged(format!("column {at} of a row is null")))
    }
}

impl Columns for SqliteRow {
    fn integer(&self, at: usize) -> Result<Option<i64>, Trouble> {
        Ok(self.try_get(at)?)
    }

    fn text(&self, at: usize) -> Result<Option<String>, Trouble> {
        Ok(self.try_get(at)?)
    }
}

impl Columns for rusqlite::Row<'_> {
    fn integer(&self, at: usize) -> Result<Option<i64>, Trouble> {
        Ok(self.get(at)?)
    }

    fn text(&self, at: usize) -> Result<Option<String>, Trouble> {
        Ok(self.get(at)?)
    }
}
