//! Giving a host a new name: the entries of both names become one course.

use super::batch::Renaming;
use crate::domain::names::HostKey;
use crate::store::courses::Names;
use crate::store::dictionary::Dictionary;
use crate::store::refold::{Root, fold_host, write_host};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

const RENAME: &str = "
UPDATE host_alias SET root_id = $2 WHERE root_id = $1;
INSERT INTO host_alias (host_id, root_id) VALUES ($1, $2);
DELETE FROM current_state WHERE host_id IN ($1, $2);
DELETE FROM segment WHERE host_id IN ($1, $2);
DELETE FROM episode_files WHERE episode_id IN (SELECT id FROM episode WHERE host_id IN ($1, $2));
DELETE FROM episode WHERE host_id IN ($1, $2);
DELETE FROM out_of_order WHERE host_id = $2
    OR host_id IN (SELECT host_id FROM host_alias WHERE root_id = $2);";
/// The renaming itself, which is of no host's part.
const SETTLE: &str = "
INSERT INTO host_entry SELECT host_id, time, seq FROM drift_history WHERE seq = $1;
UPDATE head SET settled = $2, settlings = settlings + 1;";
const NAMES: &str = "SELECT host_id FROM host_alias WHERE root_id = $1 ORDER BY host_id";

/// Lets the entries of the old host fold into the new one, and folds that anew from its beginning;
/// within a transaction, behind the entry that says so, the newest of `size`. With it every entry up to
/// `settled` is settled.
pub(super) async fn rename(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    key: &HostKey,
    Renaming { old, new }: Renaming,
    (size, settled): (u64, u64),
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(SETTLE).bind(size as i64).bind(settled as i64);
    query.execute(&mut *connection).await?;
    sqlx::query(RENAME).bind(old).bind(new).execute(&mut *connection).await?;
    let mut all = vec![new];
    for row in sqlx::query(NAMES).bind(new).fetch_all(&mut *connection).await? {
        all.push(row.try_get(0)?);
    }
    let root = Root { key: key.clone(), names: Names { root: new, all } };
    if let Some(folded) = fold_host(connection, dictionary, &root, |_| {}).await? {
        write_host(connection, &folded, size).await?;
    }
    Ok(())
}
