//! The course of a host: its segments and its episodes, folded from its entries in the order of
//! (time, id). What happened at a time is all that has this time, so that a segment is a stretch of
//! time and never empty.
//!
//! A segment ends where the status, the set of files or what is deployed changes, where a silence begins (the newest
//! word has outlived its `max_age`) or ends, and at UTC midnight once a report of the new day is there.
//! All reports of a segment therefore lie on the day on which it begins.

use super::content::{Content, ContentDigest};
use super::event::Event;
use super::file_set::FileSet;
use super::place::Place;
use super::report::{Kind, Source, Status};
use super::time::{SECOND, Timestamp};

/// A stretch of time with one status, one set of files, and either words that were good or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant behind it.
    pub end: Timestamp,
    /// The status in force, also during a silence.
    pub status: Status,
    /// Whether nobody's word was good any more.
    pub silent: bool,
    /// The files in force, also during a silence.
    pub files: FileSet,
    /// Reports with a time in it.
    pub reports: u64,
    /// What the newest deployment said.
    pub deployment: Option<ContentDigest>,
    /// Pipeline reports among the reports.
    pub deployments: u64,
}

/// The segment that has not ended yet; status and files are those in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSegment {
    /// Its first instant.
    pub start: Timestamp,
    /// Reports so far.
    pub reports: u64,
    /// Pipeline reports among them.
    pub deployments: u64,
}

impl OpenSegment {
    /// One that begins.
    pub fn at(start: Timestamp) -> Self {
        Self { start, reports: 0, deployments: 0 }
    }
}

/// A drift that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenEpisode {
    /// The id of the report that opened it.
    pub id: u64,
    /// That report's time.
    pub started_at: Timestamp,
    /// The time of the last `synced` report before it.
    pub started_after: Option<Timestamp>,
    /// Reports so far.
    pub reports: u64,
    /// Microseconds of `out_of_sync` in its ended segments.
    pub drifted: i64,
    /// The time of the last `out_of_sync` report.
    pub last_drift: Timestamp,
}

/// What ended an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// The entry that did.
    pub place: Place,
    /// Its source; `None` if the host was retired.
    pub source: Option<Source>,
    /// What the newest deployment had said then.
    pub deployment: Option<ContentDigest>,
}

/// What an advance of the course adds to what is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A segment has ended.
    Segment(Segment),
    /// An episode has begun.
    Opened(OpenEpisode),
    /// During this episode, from this entry on, these files differ.
    Seen {
        /// The episode's id.
        episode: u64,
        /// Not empty.
        files: FileSet,
        /// The entry's id.
        id: u64,
    },
    /// An episode has ended.
    Closed(OpenEpisode, Closing),
}

impl Change {
    /// The files it speaks of.
    pub fn files_mut(&mut self) -> Option<&mut FileSet> {
        match self {
            Self::Segment(segment) => Some(&mut segment.files),
            Self::Seen { files, .. } => Some(files),
            Self::Opened(_) | Self::Closed(..) => None,
        }
    }
}

/// How far a host's course has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// The status in force.
    pub status: Status,
    /// The files in force.
    pub files: FileSet,
    /// What the newest deployment said.
    pub deployment: Option<ContentDigest>,
    /// The newest time of any entry.
    pub last: Timestamp,
    /// Until when the newest word is good.
    pub good_until: Timestamp,
    /// The running segment; `None` before the first report and while retired.
    pub open: Option<OpenSegment>,
    /// The running drift.
    pub episode: Option<OpenEpisode>,
    /// The time of the last `synced` report.
    pub last_synced: Option<Timestamp>,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            status: Status::Unknown,
            files: FileSet::NONE,
            deployment: None,
            last: Timestamp(i64::MIN),
            good_until: Timestamp(i64::MIN),
            open: None,
            episode: None,
            last_synced: None,
        }
    }
}

/// Microseconds in a day.
pub const DAY: i64 = 24 * 3600 * SECOND;

/// The UTC midnight at or before a time.
pub fn midnight(time: Timestamp) -> Timestamp {
    Timestamp(time.0 - time.0.rem_euclid(DAY))
}

/// Until when a word is good.
pub fn good_until(time: Timestamp, content: &Content) -> Timestamp {
    let max_age = i64::from(content.max_age.unwrap_or(u32::MAX));
    Timestamp(time.0.saturating_add(max_age * SECOND))
}

impl Course {
    /// Whether an entry of this time comes behind everything that was folded, so that the course can
    /// simply advance.
    pub fn is_before(&self, time: Timestamp) -> bool {
        self.last < time
    }

    /// Folds entries in the order of (time, id), all behind what was folded before.
    pub fn fold(&mut self, events: &[Event<'_>], changes: &mut Vec<Change>) {
        for instant in events.chunk_by(|a, b| a.place.time == b.place.time) {
            self.advance(instant, changes);
        }
    }

    /// Folds everything that has one time.
    pub fn advance(&mut self, group: &[Event<'_>], changes: &mut Vec<Change>) {
        let time = group[0].place.time;
        debug_assert!(self.is_before(time), "entries come in order");
        let retired = group.iter().rposition(|step| step.kind == Kind::Retire);
        let spoken = &group[retired.map_or(0, |at| at + 1)..];
        let mut after = Self { open: None, episode: None, ..self.clone() };
        if retired.is_some() {
            (after.status, after.files) = (Status::Unknown, FileSet::NONE);
        }
        for step in spoken {
            after.hear(step);
        }
        let status_before = self.status;
        let differs = after.status != self.status
            || after.files != self.files
            || after.deployment != self.deployment;
        self.cut(time, retired.is_some() || differs, changes);
        for step in group {
            self.fold_episode(step, status_before, changes);
        }
        if let Some(newest) = spoken.last() {
            let open = self.open.get_or_insert(OpenSegment::at(time));
            open.reports += spoken.len() as u64;
            let pipelines = spoken.iter().filter(|step| step.source == Some(Source::Pipeline));
            open.deployments += pipelines.count() as u64;
            self.good_until = good_until(time, newest.content);
        } else if retired.is_some() {
            self.open = None;
        }
        self.last = time;
    }

    /// Puts in force what a report says.
    fn hear(&mut self, step: &Event<'_>) {
        if let Some(status) = step.content.status {
            self.status = status;
        }
        let speaks = step.source.is_some_and(|source| step.content.speaks_of_files(source));
        if speaks && !step.content.has_set(&self.files) {
            self.files = step.content.file_set();
        }
        if step.source.is_some_and(Source::is_deployment) {
            self.deployment = Some(step.digest);
        }
    }

    /// Ends what ends before or at a time at which an entry stands.
    fn cut(&mut self, time: Timestamp, differs: bool, changes: &mut Vec<Change>) {
        let Some(open) = self.open else { return };
        if time > self.good_until {
            let silence = self.good_until;
            self.end(open, silence, changes);
            changes.push(Change::Segment(Segment {
                start: silence,
                end: time,
                status: self.status,
                silent: true,
                files: self.files.clone(),
                reports: 0,
                deployment: self.deployment,
                deployments: 0,
            }));
            self.open = Some(OpenSegment::at(time));
        } else if differs {
            self.end(open, time, changes);
            self.open = Some(OpenSegment::at(time));
        } else if midnight(time) > midnight(self.last) {
            self.end(open, midnight(time), changes);
            self.open = Some(OpenSegment::at(midnight(time)));
        }
    }

    fn end(&mut self, open: OpenSegment, end: Timestamp, changes: &mut Vec<Change>) {
        if let (Status::OutOfSync, Some(episode)) = (self.status, &mut self.episode) {
            episode.drifted += end.0 - open.start.max(episode.started_at).0;
        }
        changes.push(Change::Segment(Segment {
            start: open.start,
            end,
            status: self.status,
            silent: false,
            files: self.files.clone(),
            reports: open.reports,
            deployment: self.deployment,
            deployments: open.deployments,
        }));
    }

    /// `status_before`: what was in force before everything that has this time.
    fn fold_episode(&mut self, step: &Event<'_>, status_before: Status, changes: &mut Vec<Change>) {
        let Place { time, id } = step.place;
        let files_before = self.files.clone();
        match (step.kind, step.content.status) {
            (Kind::Alias, _) => return,
            (Kind::Retire, _) => {
                self.close(step, status_before, changes);
                (self.status, self.files) = (Status::Unknown, FileSet::NONE);
                return;
            }
            (_, Some(Status::Synced)) => {
                self.close(step, status_before, changes);
                self.last_synced = Some(time);
            }
            (_, Some(Status::OutOfSync)) => {
                let started_after = self.last_synced;
                let episode = self.episode.get_or_insert_with(|| {
                    let (started_at, last_drift) = (time, time);
                    let episode = OpenEpisode {
                        id,
                        started_at,
                        started_after,
                        reports: 0,
                        drifted: 0,
                        last_drift,
                    };
                    changes.push(Change::Opened(episode.clone()));
                    episode
                });
                episode.last_drift = time;
            }
            _ => {}
        }
        self.hear(step);
        if let Some(episode) = &mut self.episode {
            episode.reports += 1;
            let news = episode.id == id || self.files != files_before;
            if news && self.files != FileSet::NONE {
                let files = self.files.clone();
                changes.push(Change::Seen { episode: episode.id, files, id });
            }
        }
    }

    fn close(&mut self, step: &Event<'_>, status_before: Status, changes: &mut Vec<Change>) {
        let Some(mut episode) = self.episode.take() else { return };
        // A segment that goes on across the end of a drift (another begins at once).
        if let (Status::OutOfSync, Some(open)) = (status_before, self.open) {
            episode.drifted += (step.place.time.0 - open.start.max(episode.started_at).0).max(0);
        }
        let source = step.source.filter(|_| step.kind != Kind::Retire);
        let own = source.filter(|source| source.is_deployment()).map(|_| step.digest);
        let deployment = own.or(self.deployment);
        changes.push(Change::Closed(episode, Closing { place: step.place, source, deployment }));
    }

    /// The segments that have not ended, as of `now`: the running one while its newest word is good,
    /// then the silence. Empty while retired.
    pub fn tail(&self, now: Timestamp) -> Vec<Segment> {
        let Some(open) = self.open else { return Vec::new() };
        let running = Segment {
            start: open.start,
            end: self.good_until.min(now),
            status: self.status,
            silent: false,
            files: self.files.clone(),
            reports: open.reports,
            deployment: self.deployment,
            deployments: open.deployments,
        };
        let silence = Segment {
            start: self.good_until,
            end: now,
            silent: true,
            reports: 0,
            deployments: 0,
            ..running.clone()
        };
        let mut tail = vec![running];
        if now > self.good_until {
            tail.push(silence);
        }
        tail.retain(|segment| segment.start < segment.end);
        tail
    }

    /// Microseconds of `out_of_sync` in the running episode, as of `now`.
    pub fn drifted(&self, now: Timestamp) -> i64 {
        let Some(episode) = &self.episode else { return 0 };
        let running = match (self.status, self.open) {
            (Status::OutOfSync, Some(open)) => {
                self.good_until.min(now).0 - open.start.max(episode.started_at).0
            }
            _ => 0,
        };
        episode.drifted + running.max(0)
    }
}

#[cfg(test)]
mod tests;
