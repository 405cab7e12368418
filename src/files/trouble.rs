//! What can go wrong with the database, and what of it can be told from SQLite's codes.

use crate::domain::shown::shown;

/// The database failed, or holds what cannot be. For the log, never for a client.
#[derive(Debug, thiserror::Error)]
#[error("{}", shown(&.0.to_string()))] // SQLite quotes names out of the file
pub struct Trouble(#[from] pub(super) sqlx::Error);

impl From<Trouble> for sqlx::Error {
    fn from(Trouble(cause): Trouble) -> Self {
        cause
    }
}

impl Trouble {
    /// Whether something in the database makes no sense, while the database itself works.
    pub fn is_damage(&self) -> bool {
        matches!(self.0, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
    }

    /// Whether a page of the file is not what SQLite has written.
    pub fn is_corrupt(&self) -> bool {
        const CORRUPT: i64 = 11;
        // The low byte of an extended code is the code.
        code_of(&self.0).is_some_and(|code| code & 0xff == CORRUPT)
    }

    /// Whether what is stored cannot be read as what it should be, for either reason.
    pub fn is_unreadable(&self) -> bool {
        self.is_damage() || self.is_corrupt()
    }

    /// Whether another connection held a lock for longer than we wait.
    pub fn is_busy(&self) -> bool {
        is_busy(&self.0)
    }

    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        const FULL: i64 = 13;
        code_of(&self.0).is_some_and(|code| code & 0xff == FULL)
    }

    /// Whether it may be about what is in the database, so that something else can be written all the same.
    pub fn may_be_the_contents(&self) -> bool {
        !self.is_busy() && !self.is_full() && !self.is_lost_sync()
    }

    /// Whether what was to be written does not fit what is there.
    pub fn is_constraint(&self) -> bool {
        const CONSTRAINT: i64 = 19;
        code_of(&self.0).is_some_and(|code| code & 0xff == CONSTRAINT)
    }

    /// Whether the disk failed to sync what was written. The kernel may have dropped it then, and says
    /// so only once: the next sync would succeed without it.
    pub fn is_lost_sync(&self) -> bool {
        const FSYNC: i64 = 1034;
        const DIR_FSYNC: i64 = 1290;
        matches!(code_of(&self.0), Some(FSYNC | DIR_FSYNC))
    }

    /// Something that must be there is not, or makes no sense.
    pub fn damaged(what: String) -> Self {
        Self(sqlx::Error::Decode(what.into()))
    }
}

/// Whether another connection held a lock for longer than we wait.
pub fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i64 = 5;
    code_of(error).is_some_and(|code| code & 0xff == BUSY)
}

/// SQLite's code of an error, extended where it has one to give; `None` if the error is not SQLite's.
pub fn code_of(error: &sqlx::Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse().ok()
}
