//! Reading the head and every host's state: what the recorder starts from.

use super::course_value;
use super::courses::{Names, file_set};
use super::refolder::Refold;
use super::replay::{Known, Replay};
use super::state_value::{ENTRIES_BY_ID, Named, StateValue};
use super::tail::Tail;
use super::writer::{PROJECTION, Pace, Writer};
use crate::domain::course::Course;
use crate::domain::file_set::FileSet;
use crate::domain::names::HostKey;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::tree::Frontier;
use crate::files::connect::Location;
use crate::files::trouble::Trouble;
use crate::ledger::append::Appender;
use crate::ledger::dictionary::Dictionary;
use crate::ledger::numbers::Numbers;
use crate::ledger::pushes::{LastRuns, last_runs};
use std::collections::HashMap;
use std::sync::Arc;

/// What the recorder starts from.
#[derive(Debug)]
pub struct Loaded {
    /// `gitops-status-server/` and 32 hex digits.
    pub origin: Arc<str>,
    /// The newest entry's id; 0 for an empty history.
    pub size: u64,
    /// The Merkle tree over all entries.
    pub tree: Frontier,
    /// When the newest entry came.
    pub last_received: Timestamp,
    /// Every host's state.
    pub hosts: Vec<Arc<HostState>>,
    /// Former names of hosts: the name, its number, and the host's number.
    pub former: Vec<(HostKey, i64, i64)>,
    /// When each job was last pushed.
    pub last_runs: LastRuns,
    /// The highest number given to a host.
    pub last_host_id: i64,
}

const INSERT_HEAD: &str = "INSERT INTO head (id, origin, projected) SELECT 1, ?1, ?2 \
     WHERE NOT EXISTS (SELECT 1 FROM head)";
const HEAD: &str = "SELECT origin, size,
    (SELECT received_at FROM drift_history WHERE seq = size),
    (SELECT max(id) FROM host), (SELECT max(id) FROM content),
    (SELECT max(id) FROM sender), (SELECT max(id) FROM run), (SELECT max(id) FROM file_set),
    tree_size, frontier, watermark, timed
    FROM head";
const FORMER_NAMES: &str = "SELECT a.host_id, a.root_id, o.server_group, o.host \
     FROM host_alias a JOIN host o ON o.id = a.host_id ORDER BY a.host_id";
const STATES: &str = "SELECT t.host_id, o.server_group, o.host, t.applied, t.state, \
     EXISTS (SELECT 1 FROM refold r WHERE r.host_id = t.host_id) \
     FROM current_state t JOIN host o ON o.id = t.host_id";
const REFOLDS: &str = "SELECT host_id, from_time, last, resumed, course, base FROM refold";
const FILE_SET: &str = "SELECT paths FROM file_set WHERE id = ?1";

/// The row of `head`.
struct Head {
    origin: String,
    size: u64,
    last_received: i64,
    last_host_id: i64,
    numbers: [i64; 4],
    tree_size: u64,
    frontier: String,
    watermark: u64,
    timed: u64,
}

impl Writer {
    /// Opens the database, which must exist with the newest schema, and loads every host's state.
    /// `new_origin` names the history if it has no name yet. `projects`: whether this process holds the
    /// database's lock; another one may only append.
    pub fn open(
        location: &Location,
        dictionary: Arc<Dictionary>,
        new_origin: &str,
        projects: bool,
    ) -> Result<(Self, Loaded), Trouble> {
        let mut writer = Writer::closed(location, dictionary, projects);
        let values = (new_origin, PROJECTION);
        writer.connection()?.execute(INSERT_HEAD, values)?;
        let loaded = writer.load()?;
        Ok((writer, loaded))
    }

    /// Reads what [`Writer::open`] loads, without writing and without keeping a connection.
    pub fn look(location: &Location, dictionary: &Arc<Dictionary>) -> Result<Loaded, Trouble> {
        let mut writer = Writer::closed(location, dictionary.clone(), false);
        writer.connection = Some(location.open_looking()?);
        writer.load()
    }

    /// Reads the head and every host's state anew.
    pub fn load(&mut self) -> Result<Loaded, Trouble> {
        let loaded = self.read_all();
        loaded.inspect_err(|_| self.let_go())
    }

    fn read_all(&mut self) -> Result<Loaded, Trouble> {
        // One snapshot for all that is read here; within a transaction, if the lock is held.
        self.connection()?.execute_batch("SAVEPOINT loading")?;
        let head = self.head()?;
        (self.tail, self.pace) = (Tail::default(), Pace::default());
        self.take_numbers(&head);
        let former = self.former_names()?;
        let states = self.written_states(&former)?;
        self.read_refolds(&states)?;
        let roots = former.iter().map(|(_, name, root)| (*name, *root)).collect();
        let unwritten = Replay::onto(states, roots).run(self, head.watermark)?;
        let renamed = || Trouble::damaged("an entry behind the watermark renames a host".into());
        let hosts = unwritten.ok_or_else(renamed)?;
        let last_runs = last_runs(self.connection()?)?;
        // The states lie all over the history: what was read for them is of no use any more.
        self.connection()?.execute_batch("RELEASE loading; PRAGMA shrink_memory")?;
        head.loaded(hosts, former, last_runs)
    }

    fn take_numbers(&mut self, head: &Head) {
        let [contents, senders, runs, file_sets] = head.numbers;
        self.appender = Appender::behind(head.size, head.timed, [contents, senders, runs]);
        self.file_sets = Numbers::new(file_sets);
    }

    fn head(&mut self) -> Result<Head, Trouble> {
        Ok(self.connection()?.query_row(HEAD, [], |row| {
            let number = |column: usize| row.get::<_, Option<i64>>(column).map(|n| n.unwrap_or(0));
            Ok(Head {
                origin: row.get(0)?,
                size: number(1)? as u64,
                last_received: number(2)?,
                last_host_id: number(3)?,
                numbers: [number(4)?, number(5)?, number(6)?, number(7)?],
                tree_size: number(8)? as u64,
                frontier: row.get(9)?,
                watermark: number(10)? as u64,
                timed: number(11)? as u64,
            })
        })?)
    }

    fn former_names(&mut self) -> Result<Vec<(HostKey, i64, i64)>, Trouble> {
        self.ask(FORMER_NAMES, [], |row| {
            let key = HostKey::new(&row.get::<_, String>(2)?, &row.get::<_, String>(3)?);
            Ok((key, row.get(0)?, row.get(1)?))
        })
    }

    /// Every host's state as it is written, with the newest entry that is in it.
    fn written_states(
        &mut self,
        former: &[(HostKey, i64, i64)],
    ) -> Result<HashMap<i64, (HostState, u64)>, Trouble> {
        let rows = self.ask(STATES, [], |row| {
            let key = HostKey::new(&row.get::<_, String>(1)?, &row.get::<_, String>(2)?);
            let state: (String, bool) = (row.get(4)?, row.get(5)?);
            Ok((row.get::<_, i64>(0)?, key, row.get::<_, i64>(3)? as u64, state))
        })?;
        let mut values = Vec::with_capacity(rows.len());
        for (host_id, key, applied, (text, is_refolded)) in rows {
            values.push((StateValue::of(key, host_id, &text, is_refolded)?, host_id, applied));
        }
        let named = self.named(&values)?;
        let mut former_of = HashMap::<i64, Vec<i64>>::new();
        for (_, name, root) in former {
            former_of.entry(*root).or_default().push(*name);
        }
        let mut states = HashMap::with_capacity(values.len());
        for (value, host_id, applied) in &values {
            let former = former_of.remove(host_id).unwrap_or_default().into();
            states.insert(*host_id, (value.state(&named, former)?, *applied));
        }
        Ok(states)
    }

    fn named(&mut self, values: &[(StateValue, i64, u64)]) -> Result<Named, Trouble> {
        let mut ids: Vec<i64> = values.iter().flat_map(|(value, ..)| value.entries()).collect();
        ids.sort_unstable();
        ids.dedup();
        let dictionary = self.dictionary.clone();
        let connection = self.connection()?;
        let mut named = Named::default();
        let mut statement = connection.prepare_cached(ENTRIES_BY_ID)?;
        let mut rows = statement.query([crate::ledger::steps::json_text(&ids)])?;
        while let Some(row) = rows.next()? {
            named.take_in(row)?;
        }
        drop(rows);
        drop(statement);
        let speaking = values.iter().flat_map(|(value, ..)| value.speaking());
        named.look_up_now(speaking, connection, &dictionary)?;
        Ok(named)
    }

    fn read_refolds(&mut self, states: &HashMap<i64, (HostState, u64)>) -> Result<(), Trouble> {
        let rows = self.ask(REFOLDS, [], |row| {
            let times: (i64, i64, bool) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let courses: (String, String) = (row.get(4)?, row.get(5)?);
            Ok((row.get::<_, i64>(0)?, times, courses))
        })?;
        self.refolds.clear();
        for (root, (from, last, resumed), (course, base)) in rows {
            let missing = || Trouble::damaged(format!("the state of host {root} is missing"));
            let (state, _) = states.get(&root).ok_or_else(missing)?;
            let refold = Refold {
                key: state.key.clone(),
                names: Names::of(state),
                from: Timestamp(from),
                last: Timestamp(last),
                resumed,
                course: self.course(&course)?,
                base: self.course(&base)?,
                generation: 0,
            };
            self.refolds.insert(root, refold);
        }
        Ok(())
    }

    fn course(&mut self, text: &str) -> Result<Course, Trouble> {
        let (course, files) = course_value::from_text(text)?;
        let files = match files {
            None => FileSet::NONE,
            Some(id) => {
                let paths = self.ask(FILE_SET, [id], |row| row.get::<_, String>(0))?.pop();
                file_set(paths.as_deref())?.kept()
            }
        };
        Ok(Course { files, ..course })
    }

    /// Applies what others have appended since we looked. `known`: the states of hosts by their numbers.
    /// `None`: hosts have new names, so that all is to be loaded.
    pub fn follow(&mut self, known: Known<'_>) -> Result<Option<Loaded>, Trouble> {
        let followed = self.read_on(known);
        followed.inspect_err(|_| self.let_go())
    }

    fn read_on(&mut self, known: Known<'_>) -> Result<Option<Loaded>, Trouble> {
        self.connection()?.execute_batch("SAVEPOINT loading")?;
        let (head, before) = (self.head()?, self.appender.size);
        self.take_numbers(&head);
        let former = self.former_names()?;
        let roots = former.iter().map(|(_, name, root)| (*name, *root)).collect();
        let hosts = Replay::going_on(known, roots).run(self, before)?;
        let last_runs = last_runs(self.connection()?)?;
        self.connection()?.execute_batch("RELEASE loading")?;
        let Some(hosts) = hosts else { return Ok(None) };
        Ok(Some(head.loaded(hosts, former, last_runs)?))
    }
}

impl Head {
    fn loaded(
        self,
        hosts: Vec<Arc<HostState>>,
        former: Vec<(HostKey, i64, i64)>,
        last_runs: LastRuns,
    ) -> Result<Loaded, Trouble> {
        Ok(Loaded {
            origin: self.origin.into(),
            size: self.size,
            tree: tree_of(self.size, self.tree_size, &self.frontier)?,
            last_received: Timestamp(self.last_received),
            hosts,
            former,
            last_runs,
            last_host_id: self.last_host_id,
        })
    }
}

/// The tree of a head, which must cover all entries: it is built before anybody loads.
fn tree_of(size: u64, tree_size: u64, frontier: &str) -> Result<Frontier, Trouble> {
    let tree = Frontier::from_text(tree_size, frontier).filter(|tree| tree.size() == size);
    tree.ok_or_else(|| {
        Trouble::damaged(
            "the tree does not cover the history: head.tree_size, head.frontier".into(),
        )
    })
}
