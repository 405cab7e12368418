//! Opening a database at start: what is ours, what is not, and how a new one comes to be.

use super::{guards, log, migrate};
use crate::files::connect::{Location, OpenError};
use crate::files::guards::Guards;
use crate::files::lock::Hold;
use crate::files::place::{close_to_others, folder_of, sync_folder};
use crate::files::trouble::{Trouble, code_of};
use crate::files::usable::{check_readable, check_writable};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::path::Path;

/// Marks a SQLite file as ours: "GOSS" in ASCII.
pub const APPLICATION_ID: i64 = 0x474F_5353;
/// Before it, two connections that write and checkpoint at the same instant could damage the file
/// (sqlite.org/wal.html, "The WAL-Reset Bug").
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

/// SQLite's codes for a file that may not be opened, and for a folder that may not be written.
const CLOSED: [i64; 2] = [14, 1544];

const ENDS: &str = "SELECT size, (SELECT max(seq) FROM drift_history) FROM head";

/// Brings the database to the newest schema; creates it if there is none. Refuses an empty, foreign,
/// damaged or newer file and leaves it untouched. Only who holds the lock may.
pub async fn create_or_check(location: &Location, _: &Hold) -> Result<(), OpenError> {
    if check_writable(location)? {
        check_and_migrate(location).await
    } else {
        create(location).await
    }
}

/// Builds it under another name, so that a half-made database never bears the right one.
async fn create(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    let fresh = location.beside(".new");
    for leftover in [&fresh, &location.beside(".new-wal"), &location.beside(".new-shm")] {
        let _ = std::fs::remove_file(leftover);
    }
    let failed =
        |cause: sqlx::Error| OpenError::Database { path: path.clone(), cause: cause.into() };
    let options = Location::write_options(&fresh).create_if_missing(true);
    let options = options.pragma("application_id", APPLICATION_ID.to_string());
    let mut connection = options.connect().await.map_err(failed)?;
    check_library(&mut connection).await?;
    let migrated = migrate::run(&mut connection).await;
    connection.close().await.map_err(failed)?;
    migrated.map_err(|cause| OpenError::Migration { path: path.clone(), cause })?;
    let folder = folder_of(path);
    close_to_others(&fresh)
        .map_err(|cause| OpenError::Folder { path: folder.to_owned(), cause })?;
    let renamed = std::fs::rename(&fresh, path).and_then(|()| sync_folder(path));
    renamed.map_err(|cause| OpenError::Folder { path: folder.to_owned(), cause })
}

/// Checks that there is a database of ours with the schema of this program, and changes nothing.
pub async fn check_only(location: &Location) -> Result<(), OpenError> {
    check_readable(location)?;
    let (reader, found, known) = open_ours(location).await?;
    let path = &location.path;
    reader.close().await.map_err(|cause| OpenError::Damaged { path: path.clone(), cause })?;
    if found < known {
        return Err(OpenError::Older { path: path.clone(), found, known });
    }
    Ok(())
}

/// A reading connection to a database that is ours and not newer than this program; the schema's
/// version in it, and the newest one known.
async fn open_ours(location: &Location) -> Result<(SqliteConnection, i64, i64), OpenError> {
    let path = &location.path;
    let damaged = |cause: sqlx::Error| {
        if code_of(&cause).is_some_and(|code| CLOSED.contains(&code)) {
            return OpenError::Closed { path: path.clone(), cause };
        }
        OpenError::Damaged { path: path.clone(), cause }
    };
    let mut reader = location.open_reader().await.map_err(damaged)?;
    check_library(&mut reader).await?;
    let check = sqlx::query("SELECT application_id FROM pragma_application_id");
    let id: i64 = check.fetch_one(&mut reader).await.map_err(damaged)?.get(0);
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign(path.clone()));
    }
    let (found, known) = migrate::versions(&mut reader).await.map_err(damaged)?;
    if found > known {
        return Err(OpenError::Newer { path: path.clone(), found, known });
    }
    Ok((reader, found, known))
}

async fn check_library(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let asked = sqlx::query("SELECT sqlite_version()").fetch_one(connection).await;
    // Who cannot even answer that is asked for more, and says why.
    let Ok(version) = asked.and_then(|row| row.try_get::<String, _>(0)) else { return Ok(()) };
    let numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    if numbers.collect::<Vec<u32>>().as_slice() < OLDEST_SQLITE.as_slice() {
        return Err(OpenError::OldSqlite(version));
    }
    Ok(())
}

async fn check_and_migrate(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    let damaged = |cause| OpenError::Damaged { path: path.clone(), cause };
    let (mut reader, found, known) = open_ours(location).await?;
    if let Some(what) = glance(&mut reader).await.map_err(damaged)? {
        return Err(OpenError::Torn { path: path.clone(), what });
    }
    let guards = guards::compare(&mut reader, found).await;
    reader.close().await.map_err(damaged)?;
    let guards = guards.map_err(|cause| OpenError::Database { path: path.clone(), cause })?;
    refuse_strange(path, &guards)?;
    for what in guards.said() {
        tracing::error!(
            "{what}: nothing of the database's own keeps others from changing it there; look through it (`verify`), and put it right (`rebuild`, with the server stopped)"
        );
    }
    let failed =
        |cause: sqlx::Error| OpenError::Database { path: path.clone(), cause: cause.into() };
    let mut writer = location.open_writer().await.map_err(failed)?;
    let migrated = if found < known {
        tracing::info!(
            from = found,
            to = known,
            "the database is brought up to date; tables that are written anew take seconds per million entries"
        );
        migrate::run(&mut writer).await
    } else {
        Ok(())
    };
    if migrated.is_ok() {
        let folded = fold_back_at_start(location, &mut writer).await;
        folded.map_err(|cause| OpenError::Database { path: path.clone(), cause })?;
    }
    writer.close().await.map_err(failed)?;
    migrated.map_err(|cause| OpenError::Migration { path: path.clone(), cause })
}

/// Refuses a database with triggers that are not ours: they would write, or refuse, on every connection on which
/// triggers fire (all but the recorder's own, see `open_direct`), and say nothing of it.
pub async fn refuse_strange_triggers(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    let guards = guards::check_guards(location).await;
    refuse_strange(
        path,
        &guards.map_err(|cause| OpenError::Database { path: path.clone(), cause })?,
    )
}

fn refuse_strange(path: &Path, guards: &Guards) -> Result<(), OpenError> {
    let strange = guards.strange_triggers();
    if strange.is_empty() {
        return Ok(());
    }
    Err(OpenError::StrangeTriggers { path: path.to_owned(), what: strange.join(", ") })
}

/// A look at what is small and must be right: to look at every page would take minutes on a large
/// database, and `verify` does.
async fn glance(reader: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    for table in ["head", "host", "current_state"] {
        let sql = AssertSqlSafe(format!("SELECT * FROM pragma_quick_check('{table}')"));
        let row = sqlx::query(sql).fetch_one(&mut *reader).await?;
        let said = row.try_get::<&str, _>(0)?.lines().find(|line| !line.starts_with("***"));
        if let Some(said) = said.filter(|said| *said != "ok") {
            return Ok(Some(said.to_owned()));
        }
    }
    let Some(row) = sqlx::query(ENDS).fetch_optional(reader).await? else { return Ok(None) };
    let (size, newest): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let newest = newest.unwrap_or(0);
    Ok((size != newest).then(|| format!("its head says {size} entries, the newest is {newest}")))
}

/// What an unclean end has left in the log goes into the file before anything is built on it. If the
/// disk had failed to sync it, what was read back may exist in memory only: written anew, it is synced
/// anew.
async fn fold_back_at_start(
    location: &Location,
    writer: &mut SqliteConnection,
) -> Result<(), Trouble> {
    if location.log_bytes() == 0 {
        return Ok(());
    }
    match log::fold_back(writer).await {
        Err(cause) => {
            let trouble = Trouble::from(cause);
            if trouble.is_lost_sync() {
                return Err(trouble);
            }
            tracing::warn!(error = %trouble, "the log of the last run stays as it is for now");
        }
        Ok(false) => tracing::warn!("another program reads the log of the last run; it stays"),
        Ok(true) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_compared_as_numbers() {
        assert!([3, 9, 0].as_slice() < super::OLDEST_SQLITE.as_slice());
    }
}
