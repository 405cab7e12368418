//! Failures that sqlx did not see, in its form: everybody judges one kind of error.

use crate::files::trouble::Trouble;
use rusqlite::ffi;
use sqlx::error::{DatabaseError, ErrorKind};
use std::borrow::Cow;
use std::error::Error;

/// What rusqlite says, as sqlx would.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Said(rusqlite::Error);

/// An error of the other driver. What cannot be read as it should be is damage in either.
fn in_form(error: rusqlite::Error) -> sqlx::Error {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match error {
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
            sqlx::Error::Decode(Box::new(error))
        }
        error => sqlx::Error::Database(Box::new(Said(error))),
    }
}

/// A sync of the database file that failed: as if SQLite had asked for it.
pub fn of_sync(error: &std::io::Error) -> sqlx::Error {
    let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
    in_form(rusqlite::Error::SqliteFailure(code, Some(format!("syncing the file: {error}"))))
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self(in_form(error))
    }
}

impl DatabaseError for Said {
    fn message(&self) -> &str {
        match &self.0 {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message,
            _ => "SQLite failed",
        }
    }

    /// SQLite's, extended where there is one.
    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.sqlite_error()?.extended_code.to_string().into())
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::trouble::code_of;

    #[test]
    fn a_failure_of_the_other_driver_is_judged_like_one_of_sqlx() {
        let locked = tempfile::NamedTempFile::new().unwrap();
        let [holder, other] = [(); 2].map(|()| rusqlite::Connection::open(locked.path()).unwrap());
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        let busy = in_form(other.execute_batch("BEGIN IMMEDIATE").unwrap_err());
        assert_eq!(code_of(&busy), Some(5));
        let busy = Trouble::from(busy);
        assert!(busy.is_busy() && !busy.is_lost_sync() && !busy.is_unreadable());
        assert!(busy.to_string().contains("database is locked"), "{busy}");
    }

    #[test]
    fn a_failed_sync_of_ours_is_a_lost_sync() {
        let failed = Trouble::from(of_sync(&std::io::Error::from_raw_os_error(5)));
        assert!(failed.is_lost_sync() && !failed.is_busy());
        assert!(failed.to_string().contains("syncing the file: Input/output error"), "{failed}");
    }
}
