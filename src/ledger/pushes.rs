//! What is remembered of pushes: the members of each full grouping key, and when it was last pushed.

use super::batch::PushedGrouping;
use super::direct::ask;
use super::steps::{Step, json_text};
use crate::domain::names::HostKey;
use crate::domain::push::Grouping;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::Arc;

const GROUPING: &str = "SELECT g.pushed_at, m.host_id, o.server_group, o.host FROM push_grouping g \
     LEFT JOIN push_member m ON m.grouping_id = g.id LEFT JOIN host o ON o.id = m.host_id \
     WHERE g.job = ?1 AND g.labels = ?2";
const WRITE: &str = "INSERT INTO push_grouping (job, labels, pushed_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT DO UPDATE SET pushed_at = excluded.pushed_at";
const KEEP_MEMBERS: &str = "DELETE FROM push_member WHERE grouping_id = \
     (SELECT id FROM push_grouping WHERE job = ?1 AND labels = ?2) \
     AND host_id NOT IN (SELECT value FROM json_each(?3))";
const ADD_MEMBERS: &str = "INSERT OR IGNORE INTO push_member (grouping_id, host_id) \
     SELECT g.id, value FROM push_grouping g, json_each(?3) WHERE g.job = ?1 AND g.labels = ?2";
const FORGET_MEMBERS: &str = "DELETE FROM push_member WHERE grouping_id = \
     (SELECT id FROM push_grouping WHERE job = ?1 AND labels = ?2)";
const FORGET: &str = "DELETE FROM push_grouping WHERE job = ?1 AND labels = ?2";
const LAST_RUNS: &str = "SELECT job, max(pushed_at) FROM push_grouping GROUP BY job";

/// When each job was last pushed with a stack's state.
pub type LastRuns = HashMap<Arc<str>, Timestamp>;

/// What is remembered of a grouping; one without members if nothing is.
pub fn grouping(connection: &Connection, grouping: &Grouping) -> Result<PushedGrouping, Trouble> {
    let names = [grouping.job.to_string(), grouping.labels.to_string()];
    let rows = ask(connection, GROUPING, names, |row| {
        let name: (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, name))
    })?;
    let mut found =
        PushedGrouping { grouping: grouping.clone(), pushed_at: None, members: [].into() };
    for (pushed_at, host, name) in rows {
        found.pushed_at = Some(Timestamp(pushed_at));
        if let (Some(host), (Some(group), Some(name))) = (host, name) {
            found.members.insert(host, HostKey::new(&group, &name));
        }
    }
    Ok(found)
}

/// When each job was last pushed.
pub fn last_runs(connection: &Connection) -> Result<LastRuns, Trouble> {
    let rows = ask(connection, LAST_RUNS, [], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    Ok(rows.into_iter().map(|(job, time)| (job.into(), Timestamp(time))).collect())
}

/// What writes a grouping anew, or deletes it.
pub fn write_grouping(known: &PushedGrouping) -> Vec<Step> {
    let Grouping { job, labels } = &known.grouping;
    let step = |text, third| {
        let names = [job, labels].map(|name| name.to_string().into());
        Step { text, values: names.into_iter().chain(third).collect() }
    };
    let Some(pushed_at) = known.pushed_at else {
        return vec![step(FORGET_MEMBERS, None), step(FORGET, None)];
    };
    let members = || Some(json_text(&known.members.keys().collect::<Vec<_>>()).into());
    vec![
        step(WRITE, Some(pushed_at.0.into())),
        step(KEEP_MEMBERS, members()),
        step(ADD_MEMBERS, members()),
    ]
}
