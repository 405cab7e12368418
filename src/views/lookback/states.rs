//! What `/status` would have shown: the registers of every host as of the end of a look back.

use crate::domain::content::Content;
use crate::domain::course::{Change, DAY, midnight};
use crate::domain::place::{Place, Word};
use crate::domain::report::{Run, Status};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::views::lookback::{Lookback, Past};
use crate::views::readers::Readers;
use sqlx::Row;
use std::collections::HashMap;
use std::sync::Arc;

/// Conditions on the newest entries asked for, in the order of [`Found::newest`].
const REGISTERS: [&str; 5] = [
    "h.kind < 2",
    "h.source IN (1, 2, 3)",
    "c.status IS NOT NULL",
    "h.source IN (1, 2, 3) AND c.status IS NOT NULL",
    "(c.changed_files IS NOT NULL OR h.source IN (0, 4) OR c.status = 0)",
];
const NEWEST: usize = 0;
const CHECK: usize = 1;
const STATUS: usize = 2;
const CHECK_STATUS: usize = 3;
const FILES: usize = 4;
/// What imports carried ($1: names).
const CARRIED: &str = "SELECT h.host_id, max(c.last_pipeline_run), max(c.last_cron_check) \
     FROM json_each($1) g CROSS JOIN drift_history h JOIN content c ON c.id = h.content_id \
     WHERE h.host_id = g.value AND h.source = 4 AND h.time < $2 AND h.seq <= $3 GROUP BY 1";
/// Of each host ($1: its place in the list, its number, a time): reports in segments before that time,
/// and the last of these segments in which a pipeline reported.
const REPORTS: &str = "SELECT g.value->>0, sum(s.reports), max(iif(s.deployments > 0, s.start, NULL)) \
     FROM json_each($1) g CROSS JOIN segment s WHERE s.host_id = g.value->>1 \
     AND s.start < g.value->>2 GROUP BY 1";
/// The newest pipeline report of a name between two times ($1: its host's place, the name, the times).
const PIPELINES: &str = "SELECT g.value->>0, (SELECT max(e.time) \
     FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     WHERE e.host_id = g.value->>1 AND e.time >= g.value->>2 AND e.time < g.value->>3 \
     AND e.seq <= $2 AND h.source = 0) FROM json_each($1) g";

/// The newest entry of a kind: where it stands, its content and its run.
type Newest = Option<(Place, i64, Option<i64>)>;

/// What was found of one host.
#[derive(Default)]
struct Found {
    newest: [Newest; REGISTERS.len()],
    last_pipeline_run: Option<Timestamp>,
    last_cron_check: Option<Timestamp>,
    reports: u64,
    /// The beginning of the last segment written down in which a pipeline reported.
    pipelines: Option<Timestamp>,
}

impl Lookback<'_> {
    /// Every host's state at the end; hosts that were retired or unknown then are left out.
    pub async fn states(&mut self, readers: &Readers) -> Result<Vec<HostState>, Trouble> {
        self.hosts.retain(|past| past.course.open.is_some());
        let found = self.registers().await?;
        let entries = || found.iter().flat_map(|found| found.newest.iter().flatten());
        let ids: Vec<i64> = entries().map(|(_, content, _)| *content).collect();
        let contents = readers.dictionary().kept(self.connection, ids.into_iter()).await?;
        let ids: Vec<i64> = entries().filter_map(|(.., run)| *run).collect();
        let runs = readers.dictionary().runs(self.connection, ids.into_iter()).await?;
        let states = self.hosts.iter().zip(&found);
        Ok(states.filter_map(|(past, found)| state(past, found, &contents, &runs)).collect())
    }

    async fn registers(&mut self) -> Result<Vec<Found>, Trouble> {
        let names: Vec<i64> =
            self.hosts.iter().flat_map(|past| past.names.all.iter().copied()).collect();
        let names = serde_json::to_string(&names).expect("integers are JSON");
        let columns = REGISTERS.map(|condition| {
            format!(
                "(SELECT format('%d,%d,%d,%s', e.time, e.seq, h.content_id, coalesce(h.run_id, '')) \
                 FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
                 JOIN content c ON c.id = h.content_id \
                 WHERE e.host_id = g.value AND e.time < $2 AND e.seq <= $3 AND {condition} \
                 ORDER BY e.time DESC, e.seq DESC LIMIT 1)"
            )
        });
        let sql = format!("SELECT g.value, {} FROM json_each($1) g", columns.join(", "));
        let owner: HashMap<i64, usize> = self
            .hosts
            .iter()
            .enumerate()
            .flat_map(|(at, past)| past.names.all.iter().map(move |name| (*name, at)))
            .collect();
        let mut found: Vec<Found> = self.hosts.iter().map(|_| Found::default()).collect();
        let mut rows = Vec::new();
        for text in self.index.texts(&sql) {
            let query = sqlx::query(text).bind(&names);
            let query = query.bind(self.end().0).bind(self.as_of as i64);
            rows.extend(query.fetch_all(&mut *self.connection).await?);
        }
        for row in &rows {
            let Some(at) = owner.get(&row.try_get::<i64, _>(0)?) else { continue };
            for (register, newest) in found[*at].newest.iter_mut().enumerate() {
                let entry = row.try_get::<Option<&str>, _>(register + 1)?.and_then(placed);
                *newest = (*newest).max(entry);
            }
        }
        let query = sqlx::query(CARRIED).bind(&names).bind(self.end().0).bind(self.as_of as i64);
        for row in query.fetch_all(&mut *self.connection).await? {
            let Some(at) = owner.get(&row.try_get::<i64, _>(0)?) else { continue };
            let time = |column| row.try_get::<Option<i64>, _>(column).map(|t| t.map(Timestamp));
            let found = &mut found[*at];
            found.last_pipeline_run = found.last_pipeline_run.max(time(1)?);
            found.last_cron_check = found.last_cron_check.max(time(2)?);
        }
        let hosts = self.hosts.iter().enumerate();
        let hosts: Vec<_> =
            hosts.map(|(at, past)| (at, past.root(), past.written_until().0)).collect();
        let hosts = serde_json::to_string(&hosts).expect("integers are JSON");
        for row in sqlx::query(REPORTS).bind(hosts).fetch_all(&mut *self.connection).await? {
            let found = &mut found[row.try_get::<i64, _>(0)? as usize];
            found.reports = row.try_get::<i64, _>(1)? as u64;
            found.pipelines = row.try_get::<Option<i64>, _>(2)?.map(Timestamp);
        }
        self.newest_pipelines(&mut found).await?;
        Ok(found)
    }

    /// Fills in when pipelines reported last: within a day, thanks to segments that count them.
    async fn newest_pipelines(&mut self, found: &mut [Found]) -> Result<(), sqlx::Error> {
        let mut rows = Vec::new();
        for (at, (past, found)) in self.hosts.iter().zip(&*found).enumerate() {
            let Some((from, to)) = past.last_with_pipelines(found.pipelines) else { continue };
            let to = to.min(self.end());
            rows.extend(past.names.all.iter().map(|name| (at, *name, from.0, to.0)));
        }
        let rows = serde_json::to_string(&rows).expect("integers are JSON");
        for text in self.index.texts(PIPELINES) {
            let query = sqlx::query(text).bind(&rows).bind(self.as_of as i64);
            for row in query.fetch_all(&mut *self.connection).await? {
                let found = &mut found[row.try_get::<i64, _>(0)? as usize];
                let time = row.try_get::<Option<i64>, _>(1)?.map(Timestamp);
                found.last_pipeline_run = found.last_pipeline_run.max(time);
            }
        }
        Ok(())
    }
}

impl Past {
    /// The last segment in which a pipeline reported, from its beginning to where its reports end.
    fn last_with_pipelines(&self, written: Option<Timestamp>) -> Option<(Timestamp, Timestamp)> {
        if let Some(open) = self.course.open.filter(|open| open.deployments > 0) {
            return Some((open.start, Timestamp(i64::MAX)));
        }
        let folded = self.since.iter().rev().find_map(|change| match change {
            Change::Segment(segment) if segment.deployments > 0 => Some(segment.start),
            _ => None,
        });
        let start = folded.or(written)?;
        Some((start, Timestamp(midnight(start).0.saturating_add(DAY))))
    }
}

/// Reads `time,seq,content,run`.
fn placed(text: &str) -> Newest {
    let mut numbers = text.split(',').map(|number| number.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let place = Place { time: Timestamp(next()?), id: next()? as u64 };
    Some((place, next()?, next()))
}

fn state(
    past: &Past,
    found: &Found,
    contents: &HashMap<i64, Arc<Content>>,
    runs: &HashMap<i64, Arc<Run>>,
) -> Option<HostState> {
    let word = |register: usize| {
        let (place, content, _) = found.newest[register]?;
        Some(Word { place, value: contents.get(&content)?.clone() })
    };
    let newest = word(NEWEST)?;
    let run = found.newest[NEWEST].and_then(|(.., run)| runs.get(&run?).cloned());
    let said = |register| {
        let word: Word<Arc<Content>> = word(register)?;
        Some(Word { place: word.place, value: word.value.status? })
    };
    let course = &past.course;
    let episode = course.episode.as_ref();
    let drift_start = episode.map(|e| Place { time: e.started_at, id: e.id });
    let place_of = |register: usize| found.newest[register].map(|(place, ..)| place.time);
    let folded: u64 = past
        .since
        .iter()
        .map(|change| if let Change::Segment(segment) = change { segment.reports } else { 0 })
        .sum();
    let deployment = past.deployed.clone().map(|value| Word { place: newest.place, value });
    let legacy = past.attributes.repo_name.is_some() && deployment.is_none();
    let reports = found.reports + folded + course.open?.reports;
    // What is in force is what the course says: a retirement may stand between.
    let in_force = Word { place: newest.place, value: course.status };
    let files = word(FILES).filter(|word| word.value.has_set(&course.files));
    Some(HostState {
        key: past.attributes.key.clone(),
        host_id: past.root(),
        former: Arc::default(),
        reports,
        first_time: newest.place.time,
        deployment,
        check: word(CHECK),
        status: (course.status != Status::Unknown || found.newest[STATUS].is_some())
            .then_some(in_force),
        check_status: said(CHECK_STATUS),
        word: files.clone(),
        files,
        last_pipeline_run: found.last_pipeline_run,
        last_cron_check: found.last_cron_check.max(place_of(CHECK)),
        synced: None,
        drifted: None,
        drift_start,
        newest_legacy_id: None,
        legacy_reports: if legacy { reports } else { 0 },
        max_reported_at: None,
        last_by_source: Default::default(),
        retired: None,
        course: Some(course.clone()),
        newest: Word { place: newest.place, value: (newest.value, run) },
    })
}
