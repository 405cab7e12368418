//! What the projector writes: statements with their values, one after the other.

use super::state_value;
use super::tail::{Share, TailEntry};
use crate::domain::state::HostState;
use crate::ledger::steps::{Step, Texts, in_blocks};

const INSERT_OUT_OF_ORDER: &str = "INSERT INTO out_of_order (host_id, seq) \
     SELECT value->>0, value->>1 FROM json_each(?)";
const INSERT_HOST_ENTRIES: &str = "INSERT OR ROLLBACK INTO host_entry (host_id, time, seq) VALUES ";
const INSERT_CONFIRMATIONS: &str =
    "INSERT OR ROLLBACK INTO host_confirmation (host_id, time, seq) VALUES ";
const WRITE_STATES: &str = "INSERT OR REPLACE INTO current_state (host_id, applied, state) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
const WATERMARK: &str = "UPDATE head SET watermark = ?";
const RENAME_FORMER: &str = "UPDATE host_alias SET root_id = ?2 WHERE root_id = ?1";
const RENAME: &str = "INSERT INTO host_alias (host_id, root_id) VALUES (?1, ?2)";
const FORGET_STATE: &str = "DELETE FROM current_state WHERE host_id = ?";
const UNLIST: &str = "DELETE FROM refold WHERE host_id = ?";

/// Takes entries into the index of hosts: what speaks of status or files apart from what only confirms.
fn index<'a>(entries: impl Iterator<Item = &'a TailEntry>) -> impl Iterator<Item = Step> {
    static SPEAKING: Texts<3> = Texts::new(INSERT_HOST_ENTRIES);
    static CONFIRMING: Texts<3> = Texts::new(INSERT_CONFIRMATIONS);
    let (speaking, confirming): (Vec<_>, Vec<_>) =
        entries.partition(|entry| entry.event().speaks());
    let row = |entry: &&TailEntry| {
        [Some(entry.host_id), Some(entry.place.time.0), Some(entry.place.id as i64)]
    };
    let mut steps: Vec<Step> = in_blocks(&SPEAKING, &speaking, row).collect();
    steps.extend(in_blocks(&CONFIRMING, &confirming, row));
    steps.into_iter()
}

/// Projects the parts of some hosts, but for what changes their courses; each is applied up to an entry
/// then. With them every entry up to `watermark` is projected.
pub fn project<'a>(
    shares: impl Iterator<Item = (&'a Share, u64)> + Clone,
    watermark: u64,
) -> impl Iterator<Item = Step> {
    let entries = || shares.clone().flat_map(|(share, _)| &share.entries);
    let out_of_order: Vec<_> = entries()
        .filter(|entry| entry.out_of_order)
        .map(|entry| (entry.host_id, entry.place.id))
        .collect();
    let mut steps: Vec<Step> = index(entries()).collect();
    steps.extend(note_out_of_order(&out_of_order));
    let states: Vec<_> = shares.map(|(share, applied)| (&*share.state, applied)).collect();
    steps.extend(keep_states(&states));
    steps.push(move_watermark(watermark));
    steps.into_iter()
}

/// Writes up to where everything is projected.
pub fn move_watermark(watermark: u64) -> Step {
    Step::new(WATERMARK, [(watermark as i64).into()])
}

/// Writes the states of hosts, each applied up to an entry, if there are any.
pub fn keep_states(states: &[(&HostState, u64)]) -> Option<Step> {
    let row = |(state, applied): &(&HostState, u64)| {
        (state.host_id, *applied, state_value::to_text(state))
    };
    Step::insert(WRITE_STATES, &states.iter().map(row).collect::<Vec<_>>())
}

/// Says that a host is not folded anew any more.
pub fn unlist(host: i64) -> Step {
    Step::new(UNLIST, [host.into()])
}

/// Lets the entries of a name fold into another host.
pub fn rename(old: i64, new: i64) -> [Step; 4] {
    [
        Step::new(RENAME_FORMER, [old.into(), new.into()]),
        Step::new(RENAME, [old.into(), new.into()]),
        Step::new(FORGET_STATE, [old.into()]),
        unlist(old),
    ]
}

/// Notes entries that came behind a later one, if there are any: the number of their name, and their id.
pub fn note_out_of_order(entries: &[(i64, u64)]) -> Option<Step> {
    Step::insert(INSERT_OUT_OF_ORDER, entries)
}
