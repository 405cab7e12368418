//! A host's state as one value in the database: a JSON list of integers, the first of them the version
//! of its form. It names entries by their ids; when and what those said is in the history.

use crate::domain::content::Content;
use crate::domain::course::OpenSegment;
use crate::domain::names::HostKey;
use crate::domain::place::{Place, Word};
use crate::domain::report::{Run, Status};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::files::columns::Columns;
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use std::collections::HashMap;
use std::sync::Arc;

/// The form of the list. Another one is a reason to write the projections anew.
const VERSION: i64 = 1;
/// Where the ids of entries stand in the list; what the first of them say is asked for, too.
const ENTRIES: std::ops::Range<usize> = 4..14;
const SPEAKING: std::ops::Range<usize> = 4..10;

/// The entries of some ids: time, content and run.
pub const ENTRIES_BY_ID: &str = "SELECT seq, time, content_id, run_id FROM drift_history \
     WHERE seq IN (SELECT value FROM json_each($1))";

/// Writes a state.
pub fn to_text(state: &HostState) -> String {
    fn id<T>(word: Option<&Word<T>>) -> Option<i64> {
        word.map(|word| word.place.id as i64)
    }
    let at = |place: Option<Place>| place.map(|place| place.id as i64);
    let time = |time: Option<Timestamp>| time.map(|time| time.0);
    let open = state.course.as_ref().and_then(|course| course.open);
    let episode = state.course.as_ref().and_then(|course| course.episode.as_ref());
    let mut list = vec![
        Some(VERSION),
        Some(state.reports as i64),
        Some(state.first_time.0),
        Some(state.status_in_force().code()),
        Some(state.newest.place.id as i64),
        id(state.deployment.as_ref()),
        id(state.check.as_ref()),
        id(state.status.as_ref()),
        id(state.check_status.as_ref()),
        id(state.files.as_ref()),
        at(state.synced),
        at(state.drifted),
        at(state.drift_start),
        at(state.retired),
        state.newest_legacy_id.map(|id| id as i64),
        Some(state.legacy_reports as i64),
        time(state.last_pipeline_run),
        time(state.last_cron_check),
        time(state.max_reported_at),
        open.map(|open| open.start.0),
        open.map(|open| open.reports as i64),
        open.map(|open| open.deployments as i64),
        episode.map(|episode| episode.reports as i64),
        episode.map(|episode| episode.drifted),
    ];
    list.extend(state.last_by_source.map(time));
    serde_json::to_string(&list).expect("integers are JSON")
}

/// A state as it was read, before its entries are looked up.
#[derive(Debug)]
pub struct StateValue {
    key: HostKey,
    host_id: i64,
    list: Vec<Option<i64>>,
    /// Whether the host's course is being folded anew.
    is_refolded: bool,
}

impl StateValue {
    /// Takes a value apart.
    pub fn of(key: HostKey, host_id: i64, text: &str, is_refolded: bool) -> Result<Self, Trouble> {
        let list = serde_json::from_str::<Vec<Option<i64>>>(text).ok();
        let known = list.filter(|list| list.first() == Some(&Some(VERSION)) && list.len() == 29);
        let unknown = || Trouble::damaged(format!("the state of host {host_id} is damaged"));
        Ok(Self { key, host_id, list: known.ok_or_else(unknown)?, is_refolded })
    }

    /// The host's number.
    pub fn host_id(&self) -> i64 {
        self.host_id
    }

    /// The ids of the entries that it names.
    pub fn entries(&self) -> impl Iterator<Item = i64> {
        self.list[ENTRIES].iter().flatten().copied()
    }

    /// Those of them whose content and run are asked for.
    pub fn speaking(&self) -> impl Iterator<Item = i64> {
        self.list[SPEAKING].iter().flatten().copied()
    }

    /// The state; `former`: the numbers of the host's former names.
    pub fn state(&self, named: &Named, former: Arc<[i64]>) -> Result<HostState, Trouble> {
        let mut values = self.list[1..].iter().copied();
        let mut next = || values.next().flatten();
        let count = |value: Option<i64>| value.unwrap_or(0) as u64;
        let reports = count(next());
        let first_time = Timestamp(next().unwrap_or(0));
        let _status = next();
        let newest = next();
        let newest = Word {
            place: named.place(newest)?.ok_or_else(|| missing(newest))?,
            value: (
                named.content(newest)?.ok_or_else(|| missing(newest))?.value,
                named.run(newest),
            ),
        };
        let (deployment, check) = (named.content(next())?, named.content(next())?);
        let status = named.content(next())?;
        let check_status = named.content(next())?;
        let files = named.content(next())?;
        let (synced, drifted) = (named.place(next())?, named.place(next())?);
        let (drift_start, retired) = (named.place(next())?, named.place(next())?);
        // The newer of the two: the report that last said status or files.
        let word = match (&files, &status) {
            (Some(files), Some(said)) if said.place > files.place => Some(said.clone()),
            (None, Some(said)) => Some(said.clone()),
            (files, _) => (*files).clone(),
        };
        let newest_legacy_id = next().map(|id| id as u64);
        let legacy_reports = count(next());
        let mut time = || next().map(Timestamp);
        let (last_pipeline_run, last_cron_check) = (time(), time());
        let (max_reported_at, segment_start) = (time(), time());
        let [segment_reports, deployments] = [count(next()), count(next())];
        let (episode_reports, drifted_for) = (count(next()), next().unwrap_or(0));
        let mut state = HostState {
            key: self.key.clone(),
            host_id: self.host_id,
            former,
            reports,
            first_time,
            newest,
            deployment,
            check,
            status: said(status),
            check_status: said(check_status),
            files,
            word,
            last_pipeline_run,
            last_cron_check,
            synced,
            drifted,
            drift_start,
            newest_legacy_id,
            legacy_reports,
            max_reported_at,
            last_by_source: std::array::from_fn(|_| next().map(Timestamp)),
            retired,
            course: None,
        };
        if !self.is_refolded {
            let open = segment_start.map(|start| OpenSegment {
                start,
                reports: segment_reports,
                deployments,
            });
            state.course = Some(state.derive_course(open, episode_reports, drifted_for));
        }
        Ok(state)
    }
}

/// The word of a report that said a status.
fn said(word: Option<Word<Arc<Content>>>) -> Option<Word<Status>> {
    let word = word?;
    Some(Word { place: word.place, value: word.value.status? })
}

/// The entries that states name.
#[derive(Debug, Default)]
pub struct Named {
    entries: HashMap<i64, (Timestamp, i64, Option<i64>)>,
    contents: HashMap<i64, Arc<Content>>,
    runs: HashMap<i64, Arc<Run>>,
}

impl Named {
    /// Takes in a row of [`ENTRIES_BY_ID`].
    pub fn take_in(&mut self, row: &dyn Columns) -> Result<(), Trouble> {
        let entry = (Timestamp(row.number(1)?), row.number(2)?, row.integer(3)?);
        self.entries.insert(row.number(0)?, entry);
        Ok(())
    }

    /// Looks up what some of them say.
    pub async fn look_up(
        &mut self,
        speaking: impl Iterator<Item = i64>,
        connection: &mut sqlx::sqlite::SqliteConnection,
        dictionary: &Dictionary,
    ) -> Result<(), sqlx::Error> {
        let said = self.said(speaking);
        self.contents = dictionary.kept(connection, said.iter().map(|said| said.0)).await?;
        self.runs = dictionary.runs(connection, said.iter().filter_map(|said| said.1)).await?;
        Ok(())
    }

    /// The same on the caller's thread.
    pub fn look_up_now(
        &mut self,
        speaking: impl Iterator<Item = i64>,
        connection: &rusqlite::Connection,
        dictionary: &Dictionary,
    ) -> Result<(), Trouble> {
        let said = self.said(speaking);
        self.contents = dictionary.kept_now(connection, said.iter().map(|said| said.0))?;
        self.runs = dictionary.runs_now(connection, said.iter().filter_map(|said| said.1))?;
        Ok(())
    }

    /// The numbers of content and run of some entries.
    fn said(&self, speaking: impl Iterator<Item = i64>) -> Vec<(i64, Option<i64>)> {
        let said = speaking.filter_map(|id| self.entries.get(&id));
        said.map(|(_, content, run)| (*content, *run)).collect()
    }

    fn place(&self, id: Option<i64>) -> Result<Option<Place>, Trouble> {
        let Some(id) = id else { return Ok(None) };
        let (time, ..) = self.entries.get(&id).ok_or_else(|| missing(Some(id)))?;
        Ok(Some(Place { time: *time, id: id as u64 }))
    }

    fn content(&self, id: Option<i64>) -> Result<Option<Word<Arc<Content>>>, Trouble> {
        let Some(place) = self.place(id)? else { return Ok(None) };
        let content = self.entries.get(&(place.id as i64)).and_then(|e| self.contents.get(&e.1));
        let value = content.ok_or_else(|| missing(id))?.clone();
        Ok(Some(Word { place, value }))
    }

    fn run(&self, id: Option<i64>) -> Option<Arc<Run>> {
        self.runs.get(&self.entries.get(&id?)?.2?).cloned()
    }
}

fn missing(id: Option<i64>) -> Trouble {
    let id = id.unwrap_or(0);
    Trouble::damaged(format!("a host's state names entry {id}, which is missing"))
}
