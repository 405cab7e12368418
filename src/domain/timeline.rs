//! Rows of a timeline: segments joined across midnights and clipped to a window, or the state at the
//! end of every bucket.

use super::course::Segment;
use super::file_set::FileSet;
use super::report::Status;
use super::time::{SECOND, Timestamp};

/// Rows of an answer at most.
pub const ROWS_MAX: usize = 100_000;

/// One row of a host's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// Its first instant in the window; with buckets, the bucket's.
    pub time: Timestamp,
    /// The first instant behind it; `None` while it goes on.
    pub end: Option<Timestamp>,
    /// How long, up to now or the end of the window.
    pub micros: i64,
    /// The status; `None` while nobody's word was good.
    pub status: Option<Status>,
    /// The files; `None` while nobody's word was good.
    pub files: Option<FileSet>,
    /// Reports with a time in it.
    pub reports: u64,
}

/// Joins the segments of one host (clipped to the window, in order) where only midnight parts them.
/// `open`: the last one goes on.
pub fn join(segments: Vec<Segment>, open: bool) -> Vec<TimelineRow> {
    let mut rows: Vec<TimelineRow> = Vec::new();
    for segment in segments {
        let status = (!segment.silent).then_some(segment.status);
        let files = (!segment.silent).then_some(segment.files);
        let micros = segment.end.0 - segment.start.0;
        match rows.last_mut() {
            Some(last)
                if last.end == Some(segment.start)
                    && last.status == status
                    && last.files == files =>
            {
                last.end = Some(segment.end);
                last.micros += micros;
                last.reports += segment.reports;
            }
            _ => rows.push(TimelineRow {
                time: segment.start,
                end: Some(segment.end),
                micros,
                status,
                files,
                reports: segment.reports,
            }),
        }
    }
    if let (true, Some(last)) = (open, rows.last_mut()) {
        last.end = None;
    }
    rows
}

/// The bucket a time lies in: buckets begin at multiples of `step` microseconds since 1970.
pub fn bucket(time: Timestamp, step: i64) -> Timestamp {
    Timestamp(time.0 - time.0.rem_euclid(step))
}

/// How many buckets the rows of one host touch.
pub fn count_buckets(rows: &[TimelineRow], step: i64) -> usize {
    let mut count = 0;
    let mut next = i64::MIN;
    for row in rows {
        let first = bucket(row.time, step).0.max(next);
        let last = bucket(Timestamp(row.time.0 + row.micros - 1), step).0;
        if last >= first {
            count += ((last - first) / step) as usize + 1;
            next = last + step;
        }
    }
    count
}

/// One row per bucket: the state at the end of what the host lived in it. `reports` counts the
/// reports of a bucket.
pub fn buckets(
    rows: &[TimelineRow],
    step: i64,
    reports: impl Fn(Timestamp) -> u64,
) -> Vec<TimelineRow> {
    let mut out: Vec<TimelineRow> = Vec::new();
    for row in rows {
        let end = row.time.0 + row.micros;
        let mut start = bucket(row.time, step);
        while start.0 < end {
            let next = start.0 + step;
            let within = end.min(next) - row.time.0.max(start.0);
            // Only the very last row goes on, and only in its last bucket.
            let goes_on = row.end.is_none() && end <= next;
            let bucket_row = TimelineRow {
                time: start,
                end: (!goes_on).then_some(Timestamp(next)),
                micros: within,
                reports: 0,
                ..row.clone()
            };
            match out.last_mut() {
                Some(last) if last.time == start => {
                    *last = TimelineRow { micros: last.micros + within, ..bucket_row };
                }
                _ => out.push(bucket_row),
            }
            start = Timestamp(next);
        }
    }
    for row in &mut out {
        row.reports = reports(row.time);
    }
    out
}

/// The smallest step (whole seconds, in microseconds) with at most [`ROWS_MAX`] rows over all hosts.
pub fn smallest_step(hosts: &[Vec<TimelineRow>]) -> i64 {
    let fits = |seconds: i64| {
        let counts = hosts.iter().map(|rows| count_buckets(rows, seconds * SECOND));
        counts.sum::<usize>() <= ROWS_MAX
    };
    let (mut low, mut high) = (0, 1);
    while !fits(high) && high < i64::MAX / SECOND / 4 {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    high * SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: i64, to: i64, status: Option<Status>) -> TimelineRow {
        TimelineRow {
            time: Timestamp(from * SECOND),
            end: Some(Timestamp(to * SECOND)),
            micros: (to - from) * SECOND,
            status,
            files: Some(FileSet::NONE),
            reports: 1,
        }
    }

    #[test]
    fn a_bucket_shows_the_state_at_its_end() {
        let rows = [row(5, 12, Some(Status::OutOfSync)), row(12, 31, Some(Status::Synced))];
        let shown: Vec<_> = buckets(&rows, 10 * SECOND, |_| 7)
            .into_iter()
            .map(|r| {
                (
                    r.time.0 / SECOND,
                    r.end.unwrap().0 / SECOND,
                    r.micros / SECOND,
                    r.status,
                    r.reports,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (0, 10, 5, Some(Status::OutOfSync), 7),
                (10, 20, 10, Some(Status::Synced), 7),
                (20, 30, 10, Some(Status::Synced), 7),
                (30, 40, 1, Some(Status::Synced), 7),
            ]
        );
        assert_eq!(count_buckets(&rows, 10 * SECOND), 4);
    }

    #[test]
    fn the_smallest_step_fits_and_no_smaller_one_does() {
        let hosts = vec![vec![row(0, 1_000_000, Some(Status::Synced))]; 3];
        let step = smallest_step(&hosts);
        let rows = |step| hosts.iter().map(|rows| count_buckets(rows, step)).sum::<usize>();
        assert!(rows(step) <= ROWS_MAX, "{step}");
        assert!(rows(step - SECOND) > ROWS_MAX, "{step}");
    }

    #[test]
    fn midnight_parts_nothing_and_a_gap_does() {
        let segment = |start: i64, end: i64, silent| Segment {
            start: Timestamp(start),
            end: Timestamp(end),
            status: Status::Synced,
            silent,
            files: FileSet::NONE,
            reports: 2,
            deployment: None,
            deployments: 0,
        };
        let rows = join(
            vec![
                segment(0, 10, false),
                segment(10, 20, false),
                segment(20, 25, true),
                segment(30, 40, false),
            ],
            true,
        );
        let shown: Vec<_> =
            rows.iter().map(|r| (r.time.0, r.end.map(|e| e.0), r.micros, r.reports)).collect();
        assert_eq!(shown, [(0, Some(20), 20, 4), (20, Some(25), 5, 2), (30, None, 10, 2)]);
        assert_eq!(rows[1].status, None);
    }
}
