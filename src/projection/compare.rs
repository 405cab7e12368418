//! What is written down, compared with what the history says.

use super::fold::{Folded, Root, fold_host, roots};
use crate::domain::content::ContentDigest;
use crate::domain::course::Change;
use crate::domain::file_set::FileSet;
use crate::domain::line::hex;
use crate::domain::names::HostKey;
use crate::domain::report::Source;
use crate::domain::state::HostState;
use crate::files::connect::Location;
use crate::files::threads;
use crate::files::threads::Progress;
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use crate::projection::courses::file_set;
use crate::projection::state_value;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A projection that is not what the history says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of which host; `None` for rows that belong to no host.
    pub host: Option<HostKey>,
    /// Which projection, and where it first differs.
    pub what: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Some(HostKey { server_group, host, .. }) => {
                write!(f, "{server_group}/{host}: {}", self.what)
            }
            None => f.write_str(&self.what),
        }
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Entries folded.
    pub entries: u64,
    /// Hosts compared.
    pub hosts: usize,
    /// What is not right; empty if all is.
    pub differences: Vec<Difference>,
    /// Hosts that are being folded anew just now, and were not compared.
    pub pending: Vec<HostKey>,
}

const SIZE: &str = "SELECT size FROM head";
const STATE: &str = "SELECT state FROM current_state WHERE host_id = $1";
const IS_PENDING: &str = "SELECT EXISTS (SELECT 1 FROM refold WHERE host_id = $1)";
const SEGMENTS: &str = "SELECT s.start, s.end, s.status, s.silent, s.reports, s.deployments, \
     f.paths, (SELECT c.digest FROM content c WHERE c.id = s.deployment_id) \
     FROM segment s LEFT JOIN file_set f ON f.id = s.file_set_id \
     WHERE s.host_id = $1 ORDER BY s.start";
const EPISODES: &str = "SELECT id, started_at, started_after, ended_at, closed_seq, closed_by, \
     last_drift, reports, drifted, \
     (SELECT c.digest FROM content c WHERE c.id = deployment_id) \
     FROM episode WHERE host_id = $1 ORDER BY started_at, id";
const FILES: &str = "SELECT x.episode_id, x.seq, f.paths FROM episode e \
     JOIN episode_files x ON x.episode_id = e.id JOIN file_set f ON f.id = x.file_set_id \
     WHERE e.host_id = $1 ORDER BY x.episode_id, x.seq, f.paths";
const OUT_OF_ORDER: &str = "SELECT host_id, seq FROM out_of_order WHERE host_id = $1 ORDER BY seq";
/// Rows of hosts that have no course of their own; those of a former name are taken away while the host is
/// folded anew.
const STRAYS: &str = "SELECT t.name, count(*) FROM (
        SELECT 'current_state' AS name, host_id FROM current_state
        UNION ALL SELECT 'segment', host_id FROM segment
        UNION ALL SELECT 'episode', host_id FROM episode
        UNION ALL SELECT 'episode_files', NULL FROM episode_files x
            WHERE NOT EXISTS (SELECT 1 FROM episode e WHERE e.id = x.episode_id)) t
    WHERE t.host_id IS NULL OR (t.host_id NOT IN (SELECT value FROM json_each($1))
        AND NOT EXISTS (SELECT 1 FROM host_alias a JOIN refold r ON r.host_id = a.root_id
            WHERE a.host_id = t.host_id))
    GROUP BY t.name";
const ALIASES: &str = "SELECT host_id FROM host_alias WHERE root_id = $1 ORDER BY host_id";

/// Folds the whole history anew and compares it with what is written down, on as many threads as there
/// are processors. Changes nothing; each host is looked at in one snapshot, so that a running server
/// does not disturb it.
pub async fn verify(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    progress: Progress<'_>,
) -> Result<Verdict, Trouble> {
    let parts = threads::count();
    let (told, mut heard) = mpsc::channel(parts);
    let verdicts = (0..parts).map(|part| {
        let (location, dictionary, told) = (location.clone(), dictionary.clone(), told.clone());
        let share = Share { location, dictionary, part, parts, told };
        threads::run(async move || share.verify().await)
    });
    let verdicts = futures_util::future::try_join_all(verdicts);
    drop(told);
    let telling = async {
        let mut done = 0;
        while let Some((entries, total)) = heard.recv().await {
            done += entries;
            progress(done.min(total), total);
        }
    };
    let (verdicts, ()) = futures_util::future::join(verdicts, telling).await;
    let mut all = Verdict::default();
    for verdict in verdicts? {
        all.entries = all.entries.max(verdict.entries);
        all.hosts += verdict.hosts;
        all.differences.extend(verdict.differences);
        all.pending.extend(verdict.pending);
    }
    Ok(all)
}

/// The hosts that one thread looks at.
struct Share {
    location: Location,
    dictionary: Arc<Dictionary>,
    part: usize,
    parts: usize,
    /// Hears how many entries are folded, and how many there are.
    told: mpsc::Sender<(u64, u64)>,
}

impl Share {
    async fn verify(self) -> Result<Verdict, sqlx::Error> {
        let mut connection = self.location.open_reader().await?;
        let mut snapshot = connection.begin().await?;
        let total = sqlx::query(SIZE).fetch_one(&mut *snapshot).await?.try_get::<i64, _>(0)? as u64;
        let mut verdict = Verdict { entries: total, ..Verdict::default() };
        let mut roots = roots(&mut snapshot, u64::MAX).await?;
        if self.part == 0 {
            verdict.differences = strays(&mut snapshot, &roots).await?;
        }
        roots.retain(|root| root.names.root as usize % self.parts == self.part);
        for root in &roots {
            let pending = sqlx::query(IS_PENDING).bind(root.names.root);
            let pending: bool = pending.fetch_one(&mut *snapshot).await?.try_get(0)?;
            if pending {
                verdict.pending.push(root.key.clone());
            }
            let mut entries = 0;
            let count = |page: usize| entries += page as u64;
            let folded = fold_host(&mut snapshot, &self.dictionary, root, count).await?;
            // Only the bar misses it if nobody hears.
            let _ = self.told.send((entries, total)).await;
            let found = match folded {
                Some(folded) => compare(&mut snapshot, root, &folded, pending).await?,
                None => Vec::new(),
            };
            verdict.hosts += 1;
            let host = Some(root.key.clone());
            let found = found.into_iter().map(|what| Difference { host: host.clone(), what });
            verdict.differences.extend(found);
        }
        snapshot.commit().await?;
        connection.close().await?;
        Ok(verdict)
    }
}

/// Rows of hosts that have no course of their own.
async fn strays(
    connection: &mut SqliteConnection,
    roots: &[Root],
) -> Result<Vec<Difference>, sqlx::Error> {
    let ids: Vec<i64> = roots.iter().map(|root| root.names.root).collect();
    let ids = serde_json::to_string(&ids).expect("integers are JSON");
    let rows = sqlx::query(STRAYS).bind(ids).fetch_all(connection).await?;
    let stray = |row: &SqliteRow| {
        let what = format!("{}: {} rows of no host", row.get::<&str, _>(0), row.get::<i64, _>(1));
        Difference { host: None, what }
    };
    Ok(rows.iter().map(stray).collect())
}

/// Rows as texts: what is compared is also what is shown.
type Lines = Vec<String>;

/// How a host's projections differ from what its history says. While it is folded anew (`pending`), what is
/// not folded yet counts for nobody.
async fn compare(
    connection: &mut SqliteConnection,
    root: &Root,
    folded: &Folded,
    pending: bool,
) -> Result<Vec<String>, sqlx::Error> {
    let id = root.names.root;
    let mut differences = Vec::new();
    let mut check = |name: &str, written: &[String], right: &[String]| {
        let at = written.iter().zip(right).position(|(a, b)| a != b);
        let at = at.or((written.len() != right.len()).then_some(written.len().min(right.len())));
        if let Some(at) = at {
            let show =
                |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".into());
            differences.push(format!(
                "{name}, row {}: {} is written, {} is right",
                at + 1,
                show(written),
                show(right)
            ));
        }
    };
    let right = Right::of(folded);
    let rows = all(connection, STATE, id, |row| row.try_get(0)).await?;
    let course = folded.state.course.clone().filter(|_| !pending);
    let state = HostState { course, ..folded.state.clone() };
    check("current_state", &rows, &[state_value::to_text(&state)]);
    if pending {
        return Ok(differences);
    }
    let rows = all(connection, SEGMENTS, id, |row| {
        let digest = row.try_get::<Option<&str>, _>(7)?.unwrap_or("-");
        Ok(format!("{} {digest} {}", numbers(row, 6)?, paths(row, 6)?))
    });
    check("segment", &rows.await?, &right.segments);
    let rows = all(connection, EPISODES, id, |row| {
        let digest = row.try_get::<Option<&str>, _>(9)?.unwrap_or("-");
        Ok(format!("{} {digest}", numbers(row, 9)?))
    });
    check("episode", &rows.await?, &right.episodes);
    let rows =
        all(connection, FILES, id, |row| Ok(format!("{} {}", numbers(row, 2)?, paths(row, 2)?)));
    check("episode_files", &rows.await?, &right.files);
    let rows = all(connection, ALIASES, id, |row| numbers(row, 1)).await?;
    let names: Lines = root.names.all[1..].iter().map(ToString::to_string).collect();
    check("host_alias", &rows, &names);
    // Of a renamed host, only entries since then were seen as those of one host.
    if let [name] = root.names.all.as_slice() {
        let rows = all(connection, OUT_OF_ORDER, *name, |row| numbers(row, 2)).await?;
        let right: Lines =
            folded.out_of_order.iter().map(|(name, seq)| format!("{name} {seq}")).collect();
        check("out_of_order", &rows, &right);
    }
    Ok(differences)
}

/// What the history says, as rows of the tables.
struct Right {
    segments: Lines,
    episodes: Lines,
    files: Lines,
}

impl Right {
    fn of(folded: &Folded) -> Self {
        let (mut segments, mut episodes) = (Lines::new(), BTreeMap::new());
        let mut files: BTreeMap<(u64, String), u64> = BTreeMap::new();
        for change in &folded.changes {
            match change {
                Change::Segment(s) => segments.push(format!(
                    "{} {} {} {} {} {} {} {}",
                    s.start.0,
                    s.end.0,
                    s.status.code(),
                    i64::from(s.silent),
                    s.reports,
                    s.deployments,
                    digest(s.deployment),
                    shown(&s.files)
                )),
                Change::Opened(e) => {
                    let (start, after) = (e.started_at.0, e.started_after.map(|time| time.0));
                    let id = e.id as i64;
                    let row = [
                        Some(id),
                        Some(start),
                        after,
                        None,
                        None,
                        None,
                        Some(start),
                        Some(0),
                        Some(0),
                    ];
                    episodes.insert((start, id), show(&row) + " -");
                }
                Change::Seen { episode, files: set, id } => {
                    files.entry((*episode, shown(set))).or_insert(*id);
                }
                Change::Closed(e, by) => {
                    let (start, id) = (e.started_at.0, e.id as i64);
                    let row = [
                        Some(id),
                        Some(start),
                        e.started_after.map(|time| time.0),
                        Some(by.place.time.0),
                        Some(by.place.id as i64),
                        by.source.map(Source::code),
                        Some(e.last_drift.0),
                        Some(e.reports as i64),
                        Some(e.drifted),
                    ];
                    let row = format!("{} {}", show(&row), digest(by.deployment));
                    episodes.insert((start, id), row);
                }
            }
        }
        let mut files: Vec<_> =
            files.into_iter().map(|((episode, text), seq)| (episode, seq, text)).collect();
        files.sort();
        Self {
            segments,
            episodes: episodes.into_values().collect(),
            files: files.iter().map(|(id, seq, text)| format!("{id} {seq} {text}")).collect(),
        }
    }
}

/// A digest, or a dash.
fn digest(digest: Option<ContentDigest>) -> String {
    digest.map_or("-".into(), |digest| hex(&digest))
}

async fn all(
    connection: &mut SqliteConnection,
    sql: &'static str,
    id: i64,
    read: impl Fn(&SqliteRow) -> Result<String, sqlx::Error>,
) -> Result<Lines, sqlx::Error> {
    sqlx::query(sql).bind(id).fetch_all(connection).await?.iter().map(read).collect()
}

fn numbers(row: &SqliteRow, columns: usize) -> Result<String, sqlx::Error> {
    let columns: Vec<Option<i64>> =
        (0..columns).map(|column| row.try_get(column)).collect::<Result<_, _>>()?;
    Ok(show(&columns))
}

fn paths(row: &SqliteRow, column: usize) -> Result<String, sqlx::Error> {
    Ok(shown(&file_set(row.try_get::<Option<&str>, _>(column)?)?))
}

/// The paths of a set; of a long one the digest.
fn shown(files: &FileSet) -> String {
    match files.kept().stored() {
        Some((digest, _)) => hex(&digest),
        None => files.text(),
    }
}

fn show(columns: &[Option<i64>]) -> String {
    let texts: Vec<String> =
        columns.iter().map(|n| n.map_or("-".into(), |n| n.to_string())).collect();
    texts.join(" ")
}
