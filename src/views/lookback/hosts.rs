//! Whom a look back is about: the hosts asked for, each with its course as far as is known.

use super::{HostChoice, Lookback, Past};
use crate::domain::apply::{Host, hear};
use crate::domain::course::{Change, Course};
use crate::domain::file_set::FileSet;
use crate::domain::files::FileSetDigest;
use crate::domain::names::HostKey;
use crate::domain::review::Attributes;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::ledger::rows::{PACKED_COLUMNS, unpack};
use crate::projection::course_value;
use crate::projection::courses::{Names, Resume, Walk, Walked, file_set, walked};
use crate::projection::fold::{Root, roots};
use crate::projection::index::Index;
use crate::projection::state_value::{ENTRIES_BY_ID, Named, StateValue};
use crate::views::listed::look_up;
use crate::views::readers::Readers;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashMap;
use std::convert::Infallible;

const REFOLDS: &str = "SELECT host_id, from_time, resumed, course FROM refold";
const FILE_SET: &str = "SELECT paths FROM file_set WHERE id = $1";
const STATES: &str = "SELECT t.host_id, t.state, \
     EXISTS (SELECT 1 FROM refold r WHERE r.host_id = t.host_id) FROM current_state t \
     WHERE t.host_id IN (SELECT value FROM json_each($1))";
const DISORDERED: &str = "SELECT x.host_id, min(h.time) FROM out_of_order x \
     JOIN drift_history h ON h.seq = x.seq WHERE x.seq > $1 GROUP BY x.host_id";
const LAST_RENAMING: &str = "SELECT coalesce(max(seq), 0) FROM drift_history INDEXED BY history_acts \
     WHERE kind = 3 AND kind > 1";

impl Lookback<'_> {
    /// Fills in the hosts: their course and attributes.
    pub(super) async fn find_hosts(
        &mut self,
        readers: &Readers,
        live: bool,
        choice: &impl HostChoice,
    ) -> Result<(), sqlx::Error> {
        let mut roots = roots(self.connection, self.as_of).await?;
        let all = roots.len();
        roots.retain(|root| choice.names(&root.key));
        let names: Vec<i64> = roots.iter().flat_map(|root| root.names.all.clone()).collect();
        let few = (roots.len() < all).then_some(&*names);
        self.index = Index::of(self.connection, few).await?;
        let mut written = self.written(readers, &roots).await?;
        let mut tails = self.tails(readers).await?;
        let disordered = if live { HashMap::new() } else { self.disordered().await? };
        let row = sqlx::query(LAST_RENAMING).fetch_one(&mut *self.connection).await?;
        let renamed_since = row.try_get::<i64, _>(0)? as u64 > self.as_of;
        let mut states = HashMap::with_capacity(roots.len());
        for Root { key, names } in roots {
            let tail: Vec<Walked> =
                names.all.iter().filter_map(|name| tails.remove(name)).flatten().collect();
            let Written { mut state, course, right_before } =
                written.remove(&names.root).unwrap_or_default();
            // If it has another name by now, what is written is about both names.
            let renamed = renamed_since && state.as_ref().map(Names::of).as_ref() != Some(&names);
            let course = if renamed { Course::default() } else { course };
            let mut doubtful: Vec<Timestamp> =
                names.all.iter().filter_map(|name| disordered.get(name)).copied().collect();
            doubtful.extend(tail.iter().map(|walked| walked.row.time));
            let in_order = right_before.is_none();
            doubtful.extend(right_before);
            if renamed {
                doubtful.push(Timestamp(i64::MIN));
            }
            let host = Known { key: &key, names: &names, course, in_order, tail };
            let past =
                self.past(readers, host, live, doubtful.into_iter().min(), &mut state).await?;
            if past.course.last > Timestamp(i64::MIN) {
                self.hosts.push(past);
            }
            if let Some(state) = state {
                states.insert(names.root, state);
            }
        }
        if live && self.to == self.now {
            for past in &mut self.hosts {
                if let Some(state) = states.get(&past.names.root) {
                    past.attributes = Attributes::of(state);
                }
            }
        } else {
            self.fill_in_attributes(readers, &states).await?;
        }
        self.hosts.retain(|past| choice.passes(&past.attributes));
        Ok(())
    }

    /// What is written of some hosts, by their numbers.
    async fn written(
        &mut self,
        readers: &Readers,
        roots: &[Root],
    ) -> Result<HashMap<i64, Written>, sqlx::Error> {
        let by_id: HashMap<i64, &Root> = roots.iter().map(|root| (root.names.root, root)).collect();
        let ids: Vec<i64> = by_id.keys().copied().collect();
        let query = sqlx::query(STATES).bind(json_list(&ids));
        let rows = query.fetch_all(&mut *self.connection).await?;
        let mut values = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(root) = by_id.get(&row.try_get(0)?) else { continue };
            let (text, is_refolded) = (row.try_get::<&str, _>(1)?, row.try_get(2)?);
            values.push(StateValue::of(root.key.clone(), root.names.root, text, is_refolded)?);
        }
        let mut entries: Vec<i64> = values.iter().flat_map(StateValue::entries).collect();
        entries.sort_unstable();
        entries.dedup();
        let mut named = Named::default();
        let query = sqlx::query(ENTRIES_BY_ID).bind(json_list(&entries));
        for row in query.fetch_all(&mut *self.connection).await? {
            named.take_in(&row)?;
        }
        let speaking = values.iter().flat_map(StateValue::speaking);
        named.look_up(speaking, self.connection, readers.dictionary()).await?;
        let mut former = former_names(self.connection).await?;
        let mut written = HashMap::with_capacity(values.len());
        for value in values {
            let before = former.remove(&value.host_id()).unwrap_or_default();
            let state = value.state(&named, before.into())?;
            let course = state.course.clone().unwrap_or_default();
            let host = Written { state: Some(state), course, right_before: None };
            written.insert(value.host_id(), host);
        }
        for row in sqlx::query(REFOLDS).fetch_all(&mut *self.connection).await? {
            let Some(host) = written.get_mut(&row.try_get(0)?) else { continue };
            let (course, files) = course_value::from_text(row.try_get::<&str, _>(3)?)?;
            let files = match files {
                None => FileSet::NONE,
                Some(id) => {
                    let query = sqlx::query(FILE_SET).bind(id);
                    let row = query.fetch_one(&mut *self.connection).await?;
                    file_set(row.try_get::<Option<&str>, _>(0)?)?.kept()
                }
            };
            host.course = Course { files, ..course };
            host.right_before = Some(Timestamp(row.try_get(1)?));
        }
        Ok(written)
    }

    /// What lies behind the watermark and counts, by the number of the name that it came under.
    async fn tails(&mut self, readers: &Readers) -> Result<HashMap<i64, Vec<Walked>>, sqlx::Error> {
        if !self.index.has_tail() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT group_concat(row, ';') FROM (SELECT {PACKED_COLUMNS} AS row FROM temp.tail t \
             CROSS JOIN drift_history h ON h.seq = t.seq \
             WHERE h.kind <> 3 AND h.seq <= $1 ORDER BY t.seq)"
        );
        // The text is put together from constants.
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.as_of as i64);
        let packed: Option<String> = query.fetch_one(&mut *self.connection).await?.try_get(0)?;
        let rows = unpack(packed.as_deref())?;
        let mut tails = HashMap::<i64, Vec<Walked>>::new();
        for walked in walked(self.connection, readers.dictionary(), rows).await? {
            tails.entry(walked.row.host_id).or_default().push(walked);
        }
        Ok(tails)
    }

    /// The course as far as ids up to `as_of` know. `doubtful`: the earliest time at which what is written
    /// of it may not be right. The host's state follows what lies behind the watermark.
    async fn past(
        &mut self,
        readers: &Readers,
        host: Known<'_>,
        live: bool,
        doubtful: Option<Timestamp>,
        state: &mut Option<HostState>,
    ) -> Result<Past, sqlx::Error> {
        let Known { key, names, course: known, in_order, mut tail } = host;
        tail.sort_unstable_by_key(|walked| (walked.row.time, walked.row.id));
        let events: Vec<_> = tail.iter().map(Walked::event).collect();
        let end = self.end();
        let before = doubtful.map_or(end, |time| time.min(end));
        let goes_on = live && before > known.last;
        let resumed = if goes_on {
            known
        } else if before == Timestamp(i64::MIN) {
            Course::default()
        } else {
            Resume::course(self.connection, self.index, names, &known, before, self.as_of).await?
        };
        let (mut course, mut since) = (resumed.clone(), Vec::new());
        if goes_on && in_order {
            course.fold(&events, &mut since);
        } else if before < end {
            let mut walk = Walk::new(self.index, names, before, end, self.as_of);
            loop {
                let page = walk.next(self.connection, readers.dictionary()).await?;
                if page.is_empty() {
                    break;
                }
                let events: Vec<_> = page.iter().map(Walked::event).collect();
                course.fold(&events, &mut since);
            }
        }
        for event in &events {
            // Where the next drift begins is what the course says; the registers are asked for the rest.
            let host = Host { key, id: names.root };
            let Ok(_) = hear(state, host, *event, |_| Ok::<_, Infallible>(None));
        }
        let attributes = Attributes::bare(key.clone());
        Ok(Past { attributes, names: names.clone(), course, resumed, since, deployed: None })
    }

    /// Looks up the paths of long sets in what is not written down.
    pub(super) async fn look_up_sets(&mut self) -> Result<(), sqlx::Error> {
        let mut found = HashMap::<FileSetDigest, FileSet>::new();
        for past in &mut self.hosts {
            let since = past.since.iter_mut().filter_map(Change::files_mut);
            for files in std::iter::once(&mut past.course.files).chain(since) {
                let Some((digest, _)) = files.stored() else { continue };
                let set = match found.get(&digest) {
                    Some(set) => set.clone(),
                    None => look_up(self.connection, files).await?,
                };
                found.insert(digest, set.clone());
                *files = set;
            }
        }
        Ok(())
    }

    /// For each name, the earliest time of an entry that came out of order behind `as_of`.
    async fn disordered(&mut self) -> Result<HashMap<i64, Timestamp>, sqlx::Error> {
        let query = sqlx::query(DISORDERED).bind(self.as_of as i64);
        let rows = query.fetch_all(&mut *self.connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, Timestamp(row.try_get(1)?)))).collect()
    }
}

/// What is known of a host before its past is folded.
struct Known<'a> {
    key: &'a HostKey,
    names: &'a Names,
    course: Course,
    /// Whether the course is right as far as it goes.
    in_order: bool,
    /// What lies behind the watermark.
    tail: Vec<Walked>,
}

/// What is written of a host.
#[derive(Default)]
struct Written {
    state: Option<HostState>,
    course: Course,
    /// While it is folded anew: up to where what is written is right.
    right_before: Option<Timestamp>,
}

/// The numbers of hosts' former names, by the hosts' numbers.
async fn former_names(
    connection: &mut SqliteConnection,
) -> Result<HashMap<i64, Vec<i64>>, sqlx::Error> {
    const FORMER_NAMES: &str = "SELECT host_id, root_id FROM host_alias ORDER BY host_id";
    let mut former = HashMap::<i64, Vec<i64>>::new();
    for row in sqlx::query(FORMER_NAMES).fetch_all(connection).await? {
        former.entry(row.try_get(1)?).or_default().push(row.try_get(0)?);
    }
    Ok(former)
}

fn json_list(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("integers are JSON")
}
