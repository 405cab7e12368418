//! Writing the projections anew, from the whole history: some hosts at a time, each in a transaction of
//! its own. Until the last is written the head says that they are not this program's.

use super::changes::changes;
use super::steps::{keep_states, note_out_of_order};
use super::writer::Writer;
use crate::domain::course::Change;
use crate::domain::state::HostState;
use crate::files::connect::Location;
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use crate::ledger::direct;
use std::sync::Arc;

/// Empties what is projected, and enters the history into its indexes.
const BEGIN: &str = "BEGIN IMMEDIATE;
UPDATE head SET projected = 0, watermark = 0;
DELETE FROM current_state; DELETE FROM segment; DELETE FROM episode_files; DELETE FROM episode;
DELETE FROM file_set; DELETE FROM host_alias; DELETE FROM out_of_order; DELETE FROM refold;
DELETE FROM host_entry; DELETE FROM host_confirmation; DELETE FROM time_entry;
COMMIT;
BEGIN IMMEDIATE;
INSERT INTO host_entry SELECT h.host_id, h.time, h.seq FROM drift_history h
    JOIN content c ON c.id = h.content_id
    WHERE h.seq <= (SELECT size FROM head) AND (h.source IS NULL OR h.source IN (0, 4)
        OR c.status IS NOT NULL OR c.changed_files IS NOT NULL)
    ORDER BY h.host_id, h.time, h.seq;
INSERT INTO host_confirmation SELECT h.host_id, h.time, h.seq FROM drift_history h
    JOIN content c ON c.id = h.content_id
    WHERE h.seq <= (SELECT size FROM head) AND NOT (h.source IS NULL OR h.source IN (0, 4)
        OR c.status IS NOT NULL OR c.changed_files IS NOT NULL)
    ORDER BY h.host_id, h.time, h.seq;
INSERT INTO time_entry SELECT time, seq FROM drift_history WHERE seq <= (SELECT size FROM head);
UPDATE head SET timed = size;
COMMIT;";
const INSERT_ALIAS: &str = "INSERT INTO host_alias (host_id, root_id) VALUES (?1, ?2)";
const END: &str = "UPDATE head SET projected = ?1, watermark = size";

/// A host's projections.
#[derive(Debug)]
pub struct Projected<'a> {
    /// Its state, course included.
    pub state: &'a HostState,
    /// Its segments and episodes.
    pub changes: &'a [Change],
    /// The entries that came behind a later one: the number of their name, and their id.
    pub out_of_order: &'a [(i64, u64)],
}

/// Empties the projections. Nobody else may write until the end.
pub fn begin_rebuild(location: &Location, dictionary: Arc<Dictionary>) -> Result<Writer, Trouble> {
    let mut writer = Writer::closed(location, dictionary, true);
    writer.connection()?.execute_batch(BEGIN)?;
    Ok(writer)
}

/// Writes some hosts' projections, of which there are none.
pub fn write_hosts(
    writer: &mut Writer,
    hosts: &[Projected<'_>],
    applied: u64,
) -> Result<(), Trouble> {
    let states: Vec<_> = hosts.iter().map(|host| (host.state, applied)).collect();
    let added: Vec<_> = hosts
        .iter()
        .flat_map(|host| host.changes.iter().map(|change| (host.state.host_id, change)))
        .collect();
    let mut steps = changes(writer, &added)?;
    steps.extend(keep_states(&states));
    let late: Vec<_> = hosts.iter().flat_map(|host| host.out_of_order).copied().collect();
    steps.extend(note_out_of_order(&late));
    let connection = writer.connection()?;
    direct::begin(connection)?;
    direct::run(connection, &steps)?;
    for host in hosts {
        for name in &*host.state.former {
            connection.execute(INSERT_ALIAS, (name, host.state.host_id))?;
        }
    }
    direct::commit(connection).map_err(|error| Trouble::damaged(error.to_string()))
}

/// Says that the projections are this program's.
pub fn end_rebuild(mut writer: Writer, version: i64) -> Result<(), Trouble> {
    writer.connection()?.execute(END, [version])?;
    writer.close()
}
