//! A course as one value in the database: a JSON list. Sets of files are named by their numbers.

use crate::domain::course::{Course, OpenEpisode, OpenSegment};
use crate::domain::file_set::FileSet;
use crate::domain::line::{hex, unhex};
use crate::domain::report::Status;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;

/// Status, set of files, deployment (32 hex digits), newest time, time until which it is good, running
/// segment, running episode, newest `synced`.
type Value = (
    i64,
    Option<i64>,
    Option<String>,
    i64,
    i64,
    Option<(i64, u64, u64)>,
    Option<(u64, i64, Option<i64>, u64, i64, i64)>,
    Option<i64>,
);

/// Writes a course; `files`: the number of its set of files.
pub fn to_text(course: &Course, files: Option<i64>) -> String {
    let episode = course.episode.as_ref().map(|e| {
        let after = e.started_after.map(|time| time.0);
        (e.id, e.started_at.0, after, e.reports, e.drifted, e.last_drift.0)
    });
    let value: Value = (
        course.status.code(),
        files,
        course.deployment.map(|digest| hex(&digest)),
        course.last.0,
        course.good_until.0,
        course.open.map(|open| (open.start.0, open.reports, open.deployments)),
        episode,
        course.last_synced.map(|time| time.0),
    );
    serde_json::to_string(&value).expect("a list of numbers and texts is JSON")
}

/// Reads a course, but for its files; with the number of their set.
pub fn from_text(text: &str) -> Result<(Course, Option<i64>), Trouble> {
    let damaged = || Trouble::damaged("a course in the table refold is damaged".into());
    let value: Value = serde_json::from_str(text).map_err(|_| damaged())?;
    let (status, files, deployment, last, good_until, open, episode, last_synced) = value;
    let course = Course {
        status: Status::from_code(status).ok_or_else(damaged)?,
        files: FileSet::NONE,
        deployment: deployment.map(|hex| unhex(&hex).ok_or_else(damaged)).transpose()?,
        last: Timestamp(last),
        good_until: Timestamp(good_until),
        open: open.map(|(start, reports, deployments)| OpenSegment {
            start: Timestamp(start),
            reports,
            deployments,
        }),
        episode: episode.map(|(id, started_at, after, reports, drifted, last_drift)| OpenEpisode {
            id,
            started_at: Timestamp(started_at),
            started_after: after.map(Timestamp),
            reports,
            drifted,
            last_drift: Timestamp(last_drift),
        }),
        last_synced: last_synced.map(Timestamp),
    };
    Ok((course, files))
}
