//! The episodes of a look back.

use crate::domain::content::ContentDigest;
use crate::domain::course::{Change, Closing, OpenEpisode};
use crate::domain::file_set::FileSet;
use crate::domain::line::hex;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::report::Source;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::projection::courses::file_set;
use crate::projection::index::table_of;
use crate::views::lookback::{Lookback, Past};
use crate::views::readers::{ReadError, Readers, Width};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

/// One episode, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeRecord {
    /// Its host's place in [`Lookback::hosts`].
    pub host: usize,
    /// Its id, beginning and sums.
    pub episode: OpenEpisode,
    /// How it ended.
    pub closed: Option<Closed>,
    /// All files seen, sorted.
    pub files: FileSet,
}

/// How an episode ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The entry that ended it.
    pub place: Place,
    /// Its source; `None` if the host was retired.
    pub source: Option<Source>,
    /// The commit that was deployed then.
    pub commit_sha: Option<String>,
    /// Where to find that commit, if it is not written down beside the episode.
    deployment: Option<ContentDigest>,
}

// $1: JSON rows of a host's place in the list, its number, and up to when what is written down is
// right; $2, $3: the stretch. A host's episodes follow each other without overlap.
const STORED: &str = "SELECT g.value->>0, e.id, e.started_at, e.started_after, e.ended_at, \
     e.closed_seq, e.closed_by, e.last_drift, e.reports, e.drifted, \
     (SELECT c.commit_sha FROM content c WHERE c.id = e.deployment_id) \
     FROM json_each($1) g CROSS JOIN episode e WHERE e.host_id = g.value->>1 \
     AND e.started_at <= g.value->>2 AND e.started_at < $3 AND e.started_at >= coalesce(\
     (SELECT max(p.started_at) FROM episode p WHERE p.host_id = g.value->>1 \
     AND p.started_at <= min($2, g.value->>2)), $2)";
/// $1: JSON rows of an episode's id, and up to when what is written of it is right.
const FILES: &str = "SELECT x.episode_id, f.paths FROM json_each($1) g \
     CROSS JOIN episode_files x ON x.episode_id = g.value->>0 JOIN file_set f ON f.id = x.file_set_id \
     WHERE x.seq <= $2 AND (SELECT h.time FROM drift_history h WHERE h.seq = x.seq) <= g.value->>1";
const COMMITS: &str = "SELECT digest, commit_sha FROM content \
     WHERE digest IN (SELECT value FROM json_each($1))";
/// Words about a drift before a place ($2, $3), nearest first.
const WORDS_BEFORE: &str = "SELECT e.time, e.seq, h.kind = 0 AND c.status = 1 \
     FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     JOIN content c ON c.id = h.content_id \
     WHERE e.host_id = $1 AND e.time <= $2 AND (e.time < $2 OR e.seq < $3) AND e.time >= $4 \
     AND (h.kind = 2 OR c.status IN (0, 1)) ORDER BY e.time DESC, e.seq DESC LIMIT 10000";
const ENTRY: &str = "SELECT h.time, h.kind, c.status FROM drift_history h \
     JOIN content c ON c.id = h.content_id WHERE h.seq = $1";
const HOST_OF_ENTRY: &str = "SELECT o.server_group, o.host FROM drift_history h \
     JOIN host o ON o.id = h.host_id WHERE h.seq = $1";

impl Readers {
    /// The name under which an entry was sent.
    pub async fn host_of_entry(&self, id: u64) -> Result<Option<HostKey>, ReadError> {
        let mut reader = self.acquire(Width::Small).await?;
        reader
            .ask(async |connection| {
                let query = sqlx::query(HOST_OF_ENTRY).bind(id as i64);
                let row = query.fetch_optional(connection).await?;
                row.map(|row| Ok(HostKey::new(row.try_get(0)?, row.try_get(1)?))).transpose()
            })
            .await
    }
}

impl Lookback<'_> {
    /// The episode that an id belongs to now, if the id was an episode's once: when some of what was
    /// reported before it was not known yet. `episodes` are all of the (one) host.
    pub async fn superseded_by(
        &mut self,
        id: u64,
        episodes: &[EpisodeRecord],
    ) -> Result<Option<u64>, Trouble> {
        let query = sqlx::query(ENTRY).bind(id as i64);
        let Some(row) = query.fetch_optional(&mut *self.connection).await? else { return Ok(None) };
        let place = Place { time: Timestamp(row.try_get(0)?), id };
        let drifted =
            row.try_get::<i64, _>(1)? == 0 && row.try_get::<Option<i64>, _>(2)? == Some(1);
        let holds = |record: &&EpisodeRecord| {
            let start = Place { time: record.episode.started_at, id: record.episode.id };
            start < place && record.closed.as_ref().is_none_or(|closed| place < closed.place)
        };
        let Some(record) = episodes.iter().find(holds).filter(|_| drifted) else { return Ok(None) };
        let mut words = Vec::new();
        for (name, table) in self.index.each(&self.hosts[record.host].names.all) {
            let text = table_of(WORDS_BEFORE, table);
            let query = sqlx::query(text).bind(name).bind(place.time.0);
            let query = query.bind(id as i64).bind(record.episode.started_at.0);
            for row in query.fetch_all(&mut *self.connection).await? {
                let word: (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                words.push((word, row.try_get::<Option<i64>, _>(2)? == Some(1)));
            }
        }
        words.sort_unstable_by(|a, b| b.cmp(a));
        // What was nearest before it at some time after it came: each that came before all nearer ones.
        let mut nearest = u64::MAX;
        for ((_, seq), drifts) in words {
            let seq = seq as u64;
            if seq > nearest {
                continue;
            }
            if !drifts && nearest > id {
                return Ok(Some(record.episode.id));
            }
            if seq < id {
                return Ok(None);
            }
            nearest = seq;
        }
        Ok(Some(record.episode.id))
    }

    /// The episodes that overlap the stretch, by host and time. An episode that has ended where the
    /// stretch begins does not overlap it.
    pub async fn episodes(&mut self) -> Result<Vec<EpisodeRecord>, Trouble> {
        self.look_up_sets().await?;
        let mut episodes = self.stored_episodes().await?;
        self.fill_in_files(&mut episodes).await?;
        for (host, past) in self.hosts.iter().enumerate() {
            past.follow(host, &mut episodes);
        }
        self.fill_in_commits(&mut episodes).await?;
        let (from, to) = (self.from, self.to);
        episodes.retain(|record| {
            let start = record.episode.started_at;
            let ended = record.closed.as_ref().map(|closed| closed.place.time);
            start < to && ended.is_none_or(|end| end > from || start >= from)
        });
        episodes.sort_by_key(|record| (record.host, record.episode.started_at, record.episode.id));
        Ok(episodes)
    }

    async fn stored_episodes(&mut self) -> Result<Vec<EpisodeRecord>, sqlx::Error> {
        let hosts: Vec<Value> = self
            .hosts
            .iter()
            .enumerate()
            .map(|(at, past)| json!([at, past.root(), past.resumed.last.0]))
            .collect();
        let query = sqlx::query(STORED).bind(Value::Array(hosts).to_string());
        let rows = query.bind(self.from.0).bind(self.to.0).fetch_all(&mut *self.connection).await?;
        rows.iter().map(|row| self.record(row)).collect()
    }

    fn record(&self, row: &SqliteRow) -> Result<EpisodeRecord, sqlx::Error> {
        let time = |column| row.try_get::<Option<i64>, _>(column).map(|t| t.map(Timestamp));
        let host = row.try_get::<i64, _>(0)? as usize;
        let known_until = self.hosts[host].resumed.last;
        let ended = time(4)?.filter(|ended| *ended <= known_until);
        let closed = match ended {
            None => None,
            Some(time) => Some(Closed {
                place: Place { time, id: row.try_get::<i64, _>(5)? as u64 },
                source: row.try_get::<Option<i64>, _>(6)?.and_then(Source::from_code),
                commit_sha: row.try_get(10)?,
                deployment: None,
            }),
        };
        Ok(EpisodeRecord {
            host,
            episode: OpenEpisode {
                id: row.try_get::<i64, _>(1)? as u64,
                started_at: Timestamp(row.try_get(2)?),
                started_after: time(3)?,
                last_drift: Timestamp(row.try_get(7)?),
                reports: row.try_get::<i64, _>(8)? as u64,
                drifted: row.try_get(9)?,
            },
            closed,
            files: FileSet::NONE,
        })
    }

    async fn fill_in_files(&mut self, episodes: &mut [EpisodeRecord]) -> Result<(), sqlx::Error> {
        let right_until = |record: &EpisodeRecord| self.hosts[record.host].resumed.last.0;
        let ids: Vec<(u64, i64)> =
            episodes.iter().map(|record| (record.episode.id, right_until(record))).collect();
        let query = sqlx::query(FILES).bind(json!(ids).to_string()).bind(self.as_of as i64);
        let mut files: BTreeMap<i64, Vec<FileSet>> = BTreeMap::new();
        let mut rows = query.fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await? {
            let seen = file_set(row.try_get::<Option<&str>, _>(1)?)?;
            files.entry(row.try_get(0)?).or_default().push(seen);
        }
        for record in episodes {
            let seen = files.remove(&(record.episode.id as i64)).unwrap_or_default();
            record.files = FileSet::union(seen.iter());
        }
        Ok(())
    }

    /// Fills in the commits that were deployed when episodes ended that are not written down.
    async fn fill_in_commits(&mut self, episodes: &mut [EpisodeRecord]) -> Result<(), sqlx::Error> {
        let wanted = episodes.iter().filter_map(|record| record.closed.as_ref()?.deployment);
        let wanted: Vec<String> = wanted.map(|digest| hex(&digest)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(COMMITS).bind(json!(wanted).to_string());
        let mut commits: BTreeMap<String, Option<String>> = BTreeMap::new();
        for row in query.fetch_all(&mut *self.connection).await? {
            commits.insert(row.try_get(0)?, row.try_get(1)?);
        }
        for closed in episodes.iter_mut().filter_map(|record| record.closed.as_mut()) {
            if let Some(digest) = closed.deployment {
                closed.commit_sha = commits.get(&hex(&digest)).cloned().flatten();
            }
        }
        Ok(())
    }
}

impl Past {
    /// Goes on from what is written down: what was folded since, and how the running episode stands.
    fn follow(&self, host: usize, episodes: &mut Vec<EpisodeRecord>) {
        let find = |episodes: &[EpisodeRecord], id| {
            episodes.iter().rposition(|record| record.host == host && record.episode.id == id)
        };
        for change in &self.since {
            match change {
                Change::Segment(_) => {}
                Change::Opened(episode) => episodes.push(EpisodeRecord {
                    host,
                    episode: episode.clone(),
                    closed: None,
                    files: FileSet::NONE,
                }),
                Change::Seen { episode, files, .. } => {
                    if let Some(at) = find(episodes, *episode) {
                        let known = &mut episodes[at].files;
                        *known = FileSet::union([&*known, files].into_iter());
                    }
                }
                Change::Closed(episode, by) => {
                    if let Some(at) = find(episodes, episode.id) {
                        episodes[at].episode = episode.clone();
                        let Closing { place, source, deployment } = *by;
                        let closed = Closed { place, source, commit_sha: None, deployment };
                        episodes[at].closed = Some(closed);
                    }
                }
            }
        }
        if let Some(running) = &self.course.episode
            && let Some(at) = find(episodes, running.id)
        {
            episodes[at].episode = running.clone();
        }
    }
}
