//! What is remembered of pushes: the members of each full grouping key, and when it was last pushed.

use super::{PushedGrouping, Writer};
use crate::domain::names::HostKey;
use crate::domain::push::Grouping;
use crate::domain::time::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;

const GROUPING: &str = "SELECT g.pushed_at, m.host_id, o.server_group, o.host FROM push_grouping g \
     LEFT JOIN push_member m ON m.grouping_id = g.id LEFT JOIN host o ON o.id = m.host_id \
     WHERE g.job = $1 AND g.labels = $2";
const WRITE: &str = "
INSERT INTO push_grouping (job, labels, pushed_at) VALUES ($1, $2, $3)
    ON CONFLICT DO UPDATE SET pushed_at = excluded.pushed_at;
DELETE FROM push_member WHERE grouping_id =
    (SELECT id FROM push_grouping WHERE job = $1 AND labels = $2);
INSERT INTO push_member (grouping_id, host_id)
    SELECT g.id, value FROM push_grouping g, json_each($4) WHERE g.job = $1 AND g.labels = $2;";
const DELETE: &str = "
DELETE FROM push_member WHERE grouping_id =
    (SELECT id FROM push_grouping WHERE job = $1 AND labels = $2);
DELETE FROM push_grouping WHERE job = $1 AND labels = $2;";
const LAST_RUNS: &str = "SELECT job, max(pushed_at) FROM push_grouping GROUP BY job";

/// When each job was last pushed with a stack's state.
pub type LastRuns = HashMap<Arc<str>, Timestamp>;

impl Writer {
    /// What is remembered of a grouping; one without members if nothing is.
    pub async fn grouping(&mut self, grouping: &Grouping) -> Result<PushedGrouping, sqlx::Error> {
        let found = self.look_up_grouping(grouping).await;
        self.checked(found)
    }

    async fn look_up_grouping(
        &mut self,
        grouping: &Grouping,
    ) -> Result<PushedGrouping, sqlx::Error> {
        let query = sqlx::query(GROUPING).bind(&*grouping.job).bind(&*grouping.labels);
        let rows = query.fetch_all(self.connection().await?).await?;
        let mut found =
            PushedGrouping { grouping: grouping.clone(), pushed_at: None, members: [].into() };
        for row in rows {
            found.pushed_at = Some(Timestamp(row.try_get(0)?));
            if let Some(host) = row.try_get::<Option<i64>, _>(1)? {
                found.members.insert(host, HostKey::new(row.try_get(2)?, row.try_get(3)?));
            }
        }
        Ok(found)
    }

    /// When each job was last pushed.
    pub async fn last_runs(&mut self) -> Result<LastRuns, sqlx::Error> {
        let found = last_runs(self.connection().await?).await;
        self.checked(found)
    }

    /// Writes a grouping anew, or deletes it, within a transaction.
    pub(super) async fn write_grouping(
        connection: &mut SqliteConnection,
        known: &PushedGrouping,
    ) -> Result<(), sqlx::Error> {
        let Grouping { job, labels } = &known.grouping;
        let Some(pushed_at) = known.pushed_at else {
            let query = sqlx::query(DELETE).bind(&**job).bind(&**labels);
            return query.execute(connection).await.map(|_| ());
        };
        let members: Vec<&i64> = known.members.keys().collect();
        let members = serde_json::to_string(&members).expect("integers are JSON");
        let query = sqlx::query(WRITE).bind(&**job).bind(&**labels).bind(pushed_at.0).bind(members);
        query.execute(connection).await.map(|_| ())
    }
}

/// See [`LastRuns`].
pub(super) async fn last_runs(connection: &mut SqliteConnection) -> Result<LastRuns, sqlx::Error> {
    let rows = sqlx::query(LAST_RUNS).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((row.try_get::<&str, _>(0)?.into(), Timestamp(row.try_get(1)?))))
        .collect()
}
