//! The fold: a host's current state out of its reports in the order of (time, id).
//!
//! The state is a set of *registers*. Nearly all of them keep the newest word of some kind with its
//! place, so that reports may arrive in any order. Two questions need more than registers when a
//! report arrives out of order: what was in force just before it ([`Before`]), and where the next
//! drift after it begins. The recorder answers both from the history and hands them in.

mod merge;
mod neighbours;

use super::content::{Content, ContentDigest};
use super::course::{Course, OpenEpisode, OpenSegment};
use super::event::Event;
use super::file_set::FileSet;
use super::names::HostKey;
use super::place::{Place, Word};
use super::report::{Kind, Report, Run, Source, Status, Transition};
use super::surroundings::Before;
use super::time::{MINUTE, SECOND, Timestamp};
use std::sync::Arc;

/// A host's folded state: everything `GET /status` shows, and what the next fold needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    /// Whose state it is.
    pub key: HostKey,
    /// The host's number in the dictionary.
    pub host_id: i64,
    /// The numbers of its former names, whose entries fold into it.
    pub former: Arc<[i64]>,
    /// How many reports were folded.
    pub reports: u64,
    /// The earliest time of any report.
    pub first_time: Timestamp,
    /// The newest report of any source: its content (for `max_age`) and run.
    pub newest: Word<(Arc<Content>, Option<Arc<Run>>)>,
    /// The newest report of {pipeline, import}.
    pub deployment: Option<Word<Arc<Content>>>,
    /// The newest report of {cron, legacy, pushgateway, inferred}.
    pub check: Option<Word<Arc<Content>>>,
    /// The newest status said.
    pub status: Option<Word<Status>>,
    /// The newest status said by a check.
    pub check_status: Option<Word<Status>>,
    /// The newest report that spoke of files; they are in force.
    pub files: Option<Word<Arc<Content>>>,
    /// The newest report that said status or files.
    pub word: Option<Word<Arc<Content>>>,
    /// Newest of pipeline reports' times and what imports carried.
    pub last_pipeline_run: Option<Timestamp>,
    /// Newest of checks' times and what imports carried.
    pub last_cron_check: Option<Timestamp>,
    /// The newest `synced` report.
    pub synced: Option<Place>,
    /// The newest `out_of_sync` report.
    pub drifted: Option<Place>,
    /// The first `out_of_sync` report after the newest `synced` one: the open drift's start.
    pub drift_start: Option<Place>,
    /// The highest id of a legacy report.
    pub newest_legacy_id: Option<u64>,
    /// How many of the reports were legacy ones.
    pub legacy_reports: u64,
    /// The newest time any sender gave: a later one cannot be a retry.
    pub max_reported_at: Option<Timestamp>,
    /// The newest report of each source, by the source's code.
    pub last_by_source: [Option<Timestamp>; Source::ALL.len()],
    /// The newest retirement. Nothing said before it is in force.
    pub retired: Option<Place>,
    /// Its segments and episodes, as far as they have not ended; `None` while they are folded anew,
    /// because an entry came that belongs before something that was folded.
    pub course: Option<Course>,
}

/// What the fold judges about a report once, at its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// Older than the newest of its kind when it came.
    pub late: bool,
    /// What it does at its own place in time.
    pub transition: Transition,
}

impl HostState {
    /// A host's state after its first entry to arrive, but for its course.
    pub(super) fn begin(key: HostKey, host_id: i64, event: &Event<'_>) -> Self {
        let place = event.place;
        let mut state = Self {
            key,
            host_id,
            former: Arc::default(),
            reports: 0,
            first_time: place.time,
            newest: Word { place, value: (event.content.clone(), event.run.cloned()) },
            deployment: None,
            check: None,
            status: None,
            check_status: None,
            files: None,
            word: None,
            last_pipeline_run: None,
            last_cron_check: None,
            synced: None,
            drifted: None,
            drift_start: None,
            newest_legacy_id: None,
            legacy_reports: 0,
            max_reported_at: None,
            last_by_source: Default::default(),
            retired: None,
            course: Some(Course::default()),
        };
        state.hear(event, None);
        state
    }

    /// What a report does at its place, judged once, at its arrival, before it is applied. `around` must
    /// be given exactly when it [is out of order](HostState::is_out_of_order).
    pub fn judge(
        state: Option<&Self>,
        report: &Report,
        place: Place,
        around: Option<&Before>,
    ) -> Judgement {
        let late = state.is_some_and(|state| state.is_late(report.source, place.time));
        let transition = match (around, state) {
            (Some(around), _) => transition(report, around),
            (None, Some(state)) => transition(report, &state.now_in_force()),
            (None, None) => transition(report, &Before::default()),
        };
        Judgement { late, transition }
    }

    /// What is remembered of what this report says, if the host has said the very same before: most
    /// reports repeat the one before, and need not keep it twice.
    pub fn same_content(&self, report: &Report) -> Option<&Arc<Content>> {
        let of_kind = if report.source.is_deployment() { &self.deployment } else { &self.check };
        let known = of_kind.as_ref().map(|word| &word.value);
        known.filter(|known| ***known == *report.kept)
    }

    /// Whether a report at this place arrives out of order, so that what stands around it decides what
    /// it does.
    pub fn is_out_of_order(&self, place: Place) -> bool {
        place < self.newest.place
    }

    /// The newest time of any entry.
    pub fn newest_time(&self) -> Timestamp {
        self.newest.place.max(self.retired.unwrap_or(self.newest.place)).time
    }

    /// Whether to apply this entry one must know where the next drift behind it begins: it would end the
    /// open drift, but drifted reports lie behind it.
    pub fn needs_next_drift(&self, event: &Event<'_>) -> bool {
        let place = event.place;
        event.content.status == Some(Status::Synced)
            && Some(place) > self.undrifted()
            && self.drift_start.is_some_and(|start| start < place)
            && self.drifted.is_some_and(|drifted| drifted > place)
    }

    fn is_late(&self, source: Source, time: Timestamp) -> bool {
        let newest_of_kind = match source {
            Source::Import => Some(self.newest.place.time),
            Source::Pipeline => self.deployment.as_ref().map(|word| word.place.time),
            _ => self.check.as_ref().map(|word| word.place.time),
        };
        newest_of_kind.is_some_and(|newest| time < newest)
    }

    fn now_in_force(&self) -> Before {
        Before {
            exists: !self.is_retired(),
            status: self.since_retired(self.status.as_ref()).copied(),
            files: self.since_retired(self.files.as_ref()).cloned(),
            drift_open: self.drift_start.is_some(),
        }
    }

    /// A retirement stands behind all that was reported.
    fn retire(&mut self, place: Place) {
        self.retired = self.retired.max(Some(place));
        self.drift_start = self.drift_start.filter(|start| *start > place);
    }

    /// Whether the host is retired and has not reported since.
    pub fn is_retired(&self) -> bool {
        self.retired.is_some_and(|retired| retired > self.newest.place)
    }

    fn since_retired<'w, T>(&self, word: Option<&'w Word<T>>) -> Option<&'w T> {
        let word = word.filter(|word| Some(word.place) > self.retired)?;
        Some(&word.value)
    }

    /// Behind which place an `out_of_sync` report belongs to the open drift.
    fn undrifted(&self) -> Option<Place> {
        self.synced.max(self.retired)
    }

    /// Moves the registers. `next_drift`: the first `out_of_sync` report behind the entry, if it
    /// [is needed](HostState::needs_next_drift).
    pub(super) fn hear(&mut self, event: &Event<'_>, next_drift: Option<Place>) {
        let (place, content) = (event.place, event.content);
        let Some(source) = event.source else {
            if event.kind == Kind::Retire {
                self.retire(place);
            }
            return;
        };
        let deployment = source.is_deployment();
        self.reports += 1;
        self.first_time = self.first_time.min(place.time);
        self.max_reported_at = self.max_reported_at.max(event.reported_at);
        if event.kind == Kind::Report {
            let of_source = &mut self.last_by_source[source.code() as usize];
            *of_source = (*of_source).max(Some(place.time));
        }
        if place >= self.newest.place {
            self.newest = Word { place, value: (content.clone(), event.run.cloned()) };
        }
        let of_kind = if deployment { &mut self.deployment } else { &mut self.check };
        Word::set_newer(of_kind, place, || content.clone());
        let speaks_of_files = content.speaks_of_files(source);
        if speaks_of_files {
            Word::set_newer(&mut self.files, place, || content.clone());
        }
        if speaks_of_files || content.status.is_some() {
            Word::set_newer(&mut self.word, place, || content.clone());
        }
        if let Some(status) = content.status {
            Word::set_newer(&mut self.status, place, || status);
            if !deployment {
                Word::set_newer(&mut self.check_status, place, || status);
            }
            self.fold_drift(status, place, next_drift);
        }
        self.last_pipeline_run = self.last_pipeline_run.max(content.last_pipeline_run);
        self.last_cron_check = self.last_cron_check.max(content.last_cron_check);
        match source {
            Source::Import => {}
            Source::Pipeline => {
                self.last_pipeline_run = self.last_pipeline_run.max(Some(place.time));
            }
            _ => self.last_cron_check = self.last_cron_check.max(Some(place.time)),
        }
        if source == Source::Legacy {
            self.legacy_reports += 1;
            self.newest_legacy_id = self.newest_legacy_id.max(Some(place.id));
        }
    }

    fn fold_drift(&mut self, status: Status, place: Place, next_drift: Option<Place>) {
        match status {
            Status::OutOfSync => {
                self.drifted = self.drifted.max(Some(place));
                if Some(place) > self.undrifted()
                    && self.drift_start.is_none_or(|start| place < start)
                {
                    self.drift_start = Some(place);
                }
            }
            Status::Synced if self.synced.is_none_or(|synced| place > synced) => {
                self.synced = Some(place);
                if self.drift_start.is_some_and(|start| start < place) {
                    let drifts_on = self.drifted.is_some_and(|drifted| drifted > place);
                    self.drift_start = next_drift.filter(|_| drifts_on);
                }
            }
            Status::Synced | Status::Failed | Status::Unknown => {}
        }
    }

    /// The status in force; `unknown` if nobody has said any.
    pub fn status_in_force(&self) -> Status {
        self.since_retired(self.status.as_ref()).copied().unwrap_or(Status::Unknown)
    }

    /// The content whose files are in force.
    pub fn files_in_force(&self) -> Option<&Content> {
        self.since_retired(self.files.as_ref()).map(|content| &**content)
    }

    /// The content of the database that has the list of the files in force, if it is not here.
    pub fn stored_files(&self) -> Option<ContentDigest> {
        self.files_in_force()?.changed_files.as_ref()?.stored()
    }

    /// The count declared by the report that last said status or files (v1's `drift_count`).
    pub fn declared_count(&self) -> Option<u32> {
        self.since_retired(self.word.as_ref()).and_then(|content| content.declared_count)
    }

    /// Whether only v1 clients have reported this host.
    pub fn only_legacy(&self) -> bool {
        self.legacy_reports == self.reports
    }

    /// The repository shown for this host: the deployment's, or the group of a v1 host.
    pub fn repo_name(&self) -> Option<&str> {
        match &self.deployment {
            Some(word) => word.value.repo_name.as_deref(),
            None => self.only_legacy().then_some(&*self.key.server_group),
        }
    }

    /// The course that belongs to these registers: its running segment and the sums of its running
    /// episode are not among them.
    pub fn derive_course(&self, open: Option<OpenSegment>, reports: u64, drifted: i64) -> Course {
        let episode = self.drift_start.map(|start| OpenEpisode {
            id: start.id,
            started_at: start.time,
            started_after: self.synced.map(|place| place.time),
            reports,
            drifted,
            last_drift: self.drifted.unwrap_or(start).time,
        });
        Course {
            status: self.status_in_force(),
            files: self.files_in_force().map_or(FileSet::NONE, Content::file_set),
            deployment: self.deployment.as_ref().map(|word| word.value.digest()),
            last: self.newest_time(),
            good_until: self.stale_from(),
            open,
            episode,
            last_synced: self.synced.map(|place| place.time),
        }
    }

    /// When the newest word stops being good, in microseconds UTC.
    pub fn stale_from(&self) -> Timestamp {
        let max_age = i64::from(self.newest.value.0.max_age.unwrap_or(u32::MAX));
        Timestamp(self.newest.place.time.0.saturating_add(max_age * SECOND))
    }

    /// Whether the newest word is older than its `max_age`.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now > self.stale_from()
    }

    /// Age of the open drift in seconds, cut to whole minutes so that bodies stay equal within one.
    pub fn drift_age_seconds(&self, now: Timestamp) -> Option<i64> {
        let start = self.drift_start?;
        Some((now.0 - start.time.0).max(0) / MINUTE * 60)
    }
}

/// What a report does at its own place, given what was in force before it.
fn transition(report: &Report, before: &Before) -> Transition {
    let said = report.content.status;
    match said {
        Some(Status::OutOfSync) if !before.drift_open => return Transition::Opened,
        Some(Status::Synced) if before.drift_open => return Transition::Closed,
        _ => {}
    }
    let status_before = before.status.unwrap_or(Status::Unknown);
    let status_changes = said.is_some_and(|status| status != status_before);
    let files_change = report.content.speaks_of_files(report.source)
        && match &before.files {
            Some(files) => !files.same_files(&report.content),
            None => report.content.files_count() > 0,
        };
    if !before.exists || status_changes || files_change {
        Transition::Changed
    } else {
        Transition::None
    }
}

#[cfg(test)]
mod tests;
