//! What courses add, in SQL: segments, episodes and their files.

use super::writer::Writer;
use crate::domain::course::Change;
use crate::domain::file_set::FileSet;
use crate::domain::files::FileSetDigest;
use crate::domain::line::{hex, unhex};
use crate::domain::report::Source;
use crate::files::trouble::Trouble;
use crate::ledger::steps::{Step, json_text};
use foldhash::{HashMap, HashSet};
use serde_json::{Value, json};

const KNOWN_FILE_SETS: &str =
    "SELECT digest, id FROM file_set WHERE digest IN (SELECT value FROM json_each($1))";
const INSERT_FILE_SETS: &str = "INSERT INTO file_set (id, digest, paths) \
     SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
/// Sets whose paths a content lists that is in the database. If there is none, nothing fits `NOT NULL`.
const INSERT_LISTED_SETS: &str = "INSERT INTO file_set (id, digest, paths) \
     SELECT g.value->>0, g.value->>1, (SELECT json_group_array(DISTINCT \
            iif(f.type = 'object', f.value->>'path', f.value) \
            ORDER BY iif(f.type = 'object', f.value->>'path', f.value)) \
        FROM content c, json_each(c.changed_files) f WHERE c.digest = g.value->>2 \
        HAVING count(*) > 0) \
     FROM json_each(?) g";
const INSERT_SEGMENTS: &str = "INSERT INTO segment \
     (host_id, start, end, status, silent, file_set_id, reports, deployments, deployment_id) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
            (SELECT c.id FROM content c WHERE c.digest = value->>8) FROM json_each(?)";
const INSERT_EPISODES: &str = "INSERT INTO episode \
     (id, host_id, started_at, started_after, last_drift, reports, drifted) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>2, 0, 0 FROM json_each(?)";
const INSERT_EPISODE_FILES: &str = "INSERT OR IGNORE INTO episode_files \
     (episode_id, file_set_id, seq) SELECT value->>0, value->>1, value->>2 FROM json_each(?)";
const CLOSE_EPISODES: &str = "UPDATE episode SET ended_at = c.value->>1, closed_seq = c.value->>2, \
     closed_by = c.value->>3, last_drift = c.value->>4, reports = c.value->>5, drifted = c.value->>6, \
     deployment_id = (SELECT d.id FROM content d WHERE d.digest = c.value->>7) \
     FROM json_each(?) c WHERE episode.id = c.value->>0";

/// What writes what the courses of some hosts (by number) added.
pub fn changes(writer: &mut Writer, added: &[(i64, &Change)]) -> Result<Vec<Step>, Trouble> {
    if added.is_empty() {
        return Ok(Vec::new());
    }
    let sets = added.iter().filter_map(|(_, change)| match change {
        Change::Segment(segment) => Some(&segment.files),
        Change::Seen { files, .. } => Some(files),
        Change::Opened(_) | Change::Closed(..) => None,
    });
    let (sets, mut steps) = number_file_sets(writer, sets)?;
    let number = |files: &FileSet| files.digest().map(|digest| sets[digest]);
    let (mut segments, mut opened, mut seen, mut closed) = (vec![], vec![], vec![], vec![]);
    for (host, change) in added {
        match change {
            Change::Segment(s) => segments.push(json!([
                host,
                s.start.0,
                s.end.0,
                s.status.code(),
                i64::from(s.silent),
                number(&s.files),
                s.reports,
                s.deployments,
                s.deployment.map(|digest| hex(&digest))
            ])),
            Change::Opened(e) => {
                let after = e.started_after.map(|time| time.0);
                opened.push(json!([e.id, host, e.started_at.0, after]));
            }
            Change::Seen { episode, files, id } => seen.push(json!([episode, number(files), id])),
            Change::Closed(e, by) => closed.push(json!([
                e.id,
                by.place.time.0,
                by.place.id,
                by.source.map(Source::code),
                e.last_drift.0,
                e.reports,
                e.drifted,
                by.deployment.map(|digest| hex(&digest))
            ])),
        }
    }
    steps.extend(Step::insert(INSERT_SEGMENTS, &segments));
    steps.extend(Step::insert(INSERT_EPISODES, &opened));
    steps.extend(Step::insert(INSERT_EPISODE_FILES, &seen));
    steps.extend(Step::insert(CLOSE_EPISODES, &closed));
    Ok(steps)
}

/// The numbers of some sets of files, and what writes those that are new.
pub fn number_file_sets<'f>(
    writer: &mut Writer,
    sets: impl Iterator<Item = &'f FileSet>,
) -> Result<(HashMap<FileSetDigest, i64>, Vec<Step>), Trouble> {
    let mut wanted: HashMap<FileSetDigest, &FileSet> = HashMap::default();
    for files in sets {
        if let Some(digest) = files.digest() {
            wanted.insert(*digest, files);
        }
    }
    let known = |digest: &&FileSetDigest| !writer.file_sets.known.contains_key(*digest);
    let unknown: HashSet<String> = wanted.keys().filter(known).map(|digest| hex(digest)).collect();
    if !unknown.is_empty() {
        let unknown = json_text(&unknown);
        let found = writer.ask(KNOWN_FILE_SETS, [unknown], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })?;
        for (digest, id) in found {
            if let Some(digest) = unhex(&digest) {
                writer.file_sets.known.insert(digest, id);
            }
        }
    }
    let (mut numbers, mut fresh, mut listed) =
        (HashMap::default(), Vec::<Value>::new(), Vec::<Value>::new());
    for (digest, files) in wanted {
        let number = writer.file_sets.number(&digest, |id| match files.stored() {
            None => fresh.push(json!([id, hex(&digest), files.json()])),
            Some((_, content)) => {
                listed.push(json!([id, hex(&digest), content.map(|content| hex(&content))]));
            }
        });
        numbers.insert(digest, number);
    }
    let steps = [Step::insert(INSERT_FILE_SETS, &fresh), Step::insert(INSERT_LISTED_SETS, &listed)];
    Ok((numbers, steps.into_iter().flatten().collect()))
}
