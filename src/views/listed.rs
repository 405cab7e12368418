//! Long lists of files, which memory has no room for: read where somebody wants to see them.

use crate::domain::content::ContentDigest;
use crate::domain::file_set::FileSet;
use crate::domain::files::Files;
use crate::domain::line::hex;
use crate::files::trouble::Trouble;
use crate::ledger::rows::files_from_json;
use crate::projection::courses::file_set;
use crate::views::readers::{ReadError, Readers, Width};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

const LIST: &str = "SELECT changed_files FROM content WHERE digest = $1";
const SET: &str = "SELECT paths FROM file_set WHERE digest = $1";

impl Readers {
    /// The files that a stored content names.
    pub async fn files(&self, content: ContentDigest) -> Result<Files, ReadError> {
        let mut reader = self.acquire(Width::Small).await?;
        reader.ask(async |connection| list(connection, content).await).await
    }
}

/// The files that a stored content names.
async fn list(
    connection: &mut SqliteConnection,
    content: ContentDigest,
) -> Result<Files, sqlx::Error> {
    let row = sqlx::query(LIST).bind(hex(&content)).fetch_optional(connection).await?;
    let missing = || Trouble::damaged(format!("content {} has no files", hex(&content)));
    let row = row.ok_or_else(missing)?;
    Ok(files_from_json(row.try_get::<Option<&str>, _>(0)?.unwrap_or("[]"))?)
}

/// A set with its paths.
pub async fn look_up(
    connection: &mut SqliteConnection,
    set: &FileSet,
) -> Result<FileSet, sqlx::Error> {
    let Some((digest, content)) = set.stored() else { return Ok(set.clone()) };
    let found = sqlx::query(SET).bind(hex(&digest)).fetch_optional(&mut *connection).await?;
    match (found, content) {
        (Some(row), _) => Ok(file_set(row.try_get::<Option<&str>, _>(0)?)?),
        (None, Some(content)) => Ok(FileSet::of(&list(connection, content).await?)),
        (None, None) => Err(Trouble::damaged(format!("set {} is missing", hex(&digest))).into()),
    }
}
