//! A batch being folded in memory, before anything is written.

use super::incoming::Results;
use super::messages::{AHEAD_TOLERANCE, Receipt, RecordError, Submission};
use super::task::Task;
use crate::domain::apply::{Heard, Host, advance, hear};
use crate::domain::course::{Change, Course};
use crate::domain::event::Event;
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::push::Grouping;
use crate::domain::report::{Kind, Report, Source};
use crate::domain::state::{HostState, Judgement};
use crate::domain::surroundings::Surroundings;
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::tree::Hash;
use crate::files::Trouble;
use crate::ledger::{KeyRecord, NewEntry, PushedGrouping, Truth};
use crate::projection::{Batch, Derived, Names, Twin, TwinKey};
use foldhash::{HashMap, HashMapExt};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

/// How long an Idempotency-Key is remembered, in microseconds.
pub(super) const KEY_LIFETIME: i64 = 7 * 24 * 3600 * SECOND;

/// A host that a batch touches.
pub(super) struct Staged {
    state: Arc<HostState>,
    /// The host's state before the batch, if it had any.
    before: Option<Arc<HostState>>,
    /// What its course has added, as long as each entry comes behind the one before.
    changes: Option<Vec<Change>>,
    /// The places of its entries in the batch.
    first: usize,
    more: Vec<usize>,
}

/// The hosts a batch touches, and what it will write.
pub(super) struct Stage<'t> {
    pub(super) task: &'t mut Task,
    /// When the submissions came that are folded just now.
    pub(super) received_at: Timestamp,
    pub(super) hosts: HashMap<HostKey, Staged>,
    new_hosts: Vec<(i64, HostKey)>,
    pub(super) entries: Vec<NewEntry>,
    /// Where the lines of entries are written, one after the other, to be hashed.
    line: Vec<u8>,
    pub(super) keys: Vec<KeyRecord>,
    /// What came in one array: its first entry, and how many.
    pub(super) arrays: Vec<(u64, usize)>,
    /// What reports of the submission that is folded just now may repeat, and those entries.
    pub(super) twins: std::collections::HashMap<TwinKey, Vec<Twin>>,
    pub(super) recorded: std::collections::HashMap<u64, Entry>,
    /// Whether that was looked up for the whole submission, and not for the report alone.
    pub(super) looked_up: bool,
    /// Groupings that pushes of this batch have changed.
    pub(super) groupings: HashMap<Grouping, PushedGrouping>,
}

impl<'t> Stage<'t> {
    /// For about so many reports.
    pub fn new(task: &'t mut Task, reports: usize) -> Self {
        Self {
            received_at: task.last_received,
            task,
            hosts: HashMap::with_capacity(reports),
            new_hosts: Vec::new(),
            entries: Vec::with_capacity(reports),
            line: Vec::with_capacity(2048),
            keys: Vec::new(),
            arrays: Vec::new(),
            twins: std::collections::HashMap::new(),
            recorded: std::collections::HashMap::new(),
            looked_up: false,
            groupings: HashMap::new(),
        }
    }

    /// Folds every submission that has no result yet, but for those in `damaged`; a refused one leaves no
    /// trace. An error names the submission that met it.
    pub fn take_rest(
        &mut self,
        submissions: &[Submission],
        damaged: &HashSet<usize>,
        results: &mut Results,
    ) -> Result<(), (usize, Trouble)> {
        self.received_at = self.task.now().max(self.received_at);
        for (at, submission) in submissions.iter().enumerate().skip(results.len()) {
            if damaged.contains(&at) {
                results.push(Err(RecordError::NotStored));
            } else {
                results.push(self.take(submission).map_err(|error| (at, error))?);
            }
        }
        Ok(())
    }

    /// What is to be written. The courses of the hosts follow here, an instant at a time.
    pub fn into_batch(self) -> Batch {
        let entries = self.entries;
        let mut derived = Derived::default();
        for Staged { mut state, before, changes, first, more } in self.hosts.into_values() {
            let root = state.host_id;
            let changes = changes.unwrap_or_else(|| {
                // Several of one instant, or some that came late: from before the batch, an instant at a time.
                let state = Arc::make_mut(&mut state);
                state.course =
                    before.map_or_else(|| Some(Course::default()), |before| before.course.clone());
                let ours = std::iter::once(first).chain(more).map(|at| &entries[at]);
                let mut heard: Vec<_> = ours.map(NewEntry::heard).collect();
                let mut changes = Vec::new();
                let late = advance(state, &mut heard, &mut changes);
                derived.late.extend(late.map(|late| (root, late)));
                changes
            });
            derived.changes.extend(changes.into_iter().map(|change| (root, change)));
            derived.states.push(state);
        }
        let truth = Truth {
            new_hosts: self.new_hosts,
            entries,
            arrays: self.arrays,
            keys: self.keys,
            groupings: self.groupings.into_values().collect(),
            growth: None,
            rejections: Vec::new(),
            forget_keys_before: Timestamp(self.received_at.0 - KEY_LIFETIME),
        };
        Batch { truth, derived }
    }

    fn take(
        &mut self,
        submission: &Submission,
    ) -> Result<Result<Vec<Receipt>, RecordError>, Trouble> {
        if let Some(key) = &submission.key {
            match self.known_key(&key.token, &key.key)? {
                Some((body, ids)) if body == key.body => return self.replay(&ids).map(Ok),
                Some(_) => return Ok(Err(RecordError::KeyReused)),
                None => {}
            }
        }
        let unknown = self.unknown_hosts(submission);
        if !unknown.is_empty() {
            return Ok(Err(RecordError::UnknownHosts(unknown)));
        }
        self.looked_up = submission.reports.len() > 1;
        if self.looked_up {
            self.look_up_twins(submission.reports.iter())?;
        }
        let before = self.entries.len();
        let mut receipts = Vec::with_capacity(submission.reports.len());
        for report in &submission.reports {
            receipts.push(self.take_report(report, submission)?);
        }
        if let Some(push) = &submission.push {
            receipts.extend(self.take_absences(push, submission)?);
        }
        let entries = self.entries.len() - before;
        if entries > 1 {
            self.arrays.push((self.entries[before].entry.id, entries));
        }
        if let Some(key) = &submission.key {
            self.keys.push(KeyRecord {
                token: key.token.clone(),
                key: key.key.clone(),
                body: key.body.clone(),
                ids: receipts.iter().map(|receipt| receipt.id).collect(),
                received_at: self.received_at,
            });
        }
        Ok(Ok(receipts))
    }

    /// Checks of hosts that neither exist nor may be created by this request.
    fn unknown_hosts(&self, submission: &Submission) -> Vec<(usize, HostKey)> {
        let reports = submission.reports.iter().enumerate();
        reports
            .filter(|(_, report)| {
                report.source == Source::Cron
                    && !submission.create_hosts
                    && self.state(&report.key).is_none()
            })
            .map(|(index, report)| (index, report.key.clone()))
            .collect()
    }

    /// The host of a name, be it a former one, as folded so far; with the number of that name.
    pub(super) fn find(&self, key: &HostKey) -> Option<(i64, Arc<HostState>)> {
        if let Some(Staged { state, .. }) = self.hosts.get(key) {
            return Some((state.host_id, state.clone()));
        }
        let (name, state) = self.task.board.find(key)?;
        let staged = self.hosts.get(&state.key).map(|staged| staged.state.clone());
        Some((name, staged.unwrap_or(state)))
    }

    pub(super) fn state(&self, key: &HostKey) -> Option<Arc<HostState>> {
        self.find(key).map(|(_, state)| state)
    }

    pub(super) fn take_report(
        &mut self,
        report: &Report,
        submission: &Submission,
    ) -> Result<Receipt, Trouble> {
        let found = self.find(&report.key);
        if let Some((name, state)) = &found
            && report.kind == Kind::Report
            && Self::may_repeat(report, state)
            && let Some(twin) = self.find_twin(*name, state, report)?
        {
            return self.receipt_of(twin, state.clone());
        }
        let reported_at = report.reported_at.unwrap_or(self.received_at);
        let place = Place { time: reported_at.min(self.received_at), id: self.next_id() };
        let event = Event::of(report, place);
        let (name, state) = if let Some((name, state)) = found {
            (name, Some(state))
        } else {
            let host_id = self.task.last_host_id + self.new_hosts.len() as i64 + 1;
            self.new_hosts.push((host_id, report.key.clone()));
            (host_id, None)
        };
        let around = match &state {
            Some(state) if state.is_out_of_order(place) => Some(self.surroundings(state, &event)?),
            _ => None,
        };
        let (before, next_drift) =
            around.map_or((None, None), |around| (Some(around.before), around.next_drift));
        let judgement = HostState::judge(state.as_deref(), report, place, before.as_ref());
        let before = state.clone();
        let mut state = state.map(Arc::unwrap_or_clone);
        let host = Host { key: &report.key, id: name };
        let next_drift = |_: &HostState| Ok::<_, Infallible>(next_drift);
        let Ok(heard) = hear(&mut state, host, event, next_drift);
        let mut state = state.expect("a report was heard");
        let (root, at) = (state.host_id, self.entries.len());
        let mut staged = self.hosts.remove(&state.key);
        let changes =
            staged.as_mut().map_or_else(|| Some(Vec::new()), |staged| staged.changes.take());
        let changes = changes.and_then(|mut changes| {
            let course = state.course.as_mut().filter(|course| course.is_before(place.time))?;
            course.advance(&[event], &mut changes);
            Some(changes)
        });
        let hash = self.append(report, submission, place, judgement, (name, root), heard);
        let state = Arc::new(state);
        let staged = match staged {
            Some(mut staged) => {
                staged.more.push(at);
                Staged { state: state.clone(), changes, ..staged }
            }
            None => Staged { state: state.clone(), before, changes, first: at, more: Vec::new() },
        };
        self.hosts.insert(state.key.clone(), staged);
        Ok(Receipt {
            id: place.id,
            hash,
            duplicate: false,
            judgement,
            ahead: reported_at.0 > self.received_at.0 + AHEAD_TOLERANCE,
            state,
        })
    }

    fn next_id(&self) -> u64 {
        self.task.size + self.entries.len() as u64 + 1
    }

    fn append(
        &mut self,
        report: &Report,
        submission: &Submission,
        place: Place,
        judgement: Judgement,
        (host_id, root): (i64, i64),
        heard: Heard<'_>,
    ) -> [u8; 32] {
        let entry = Entry {
            id: place.id,
            kind: report.kind,
            source: Some(report.source),
            key: report.key.clone(),
            time: place.time,
            reported_at: report.reported_at,
            received_at: self.received_at,
            content: report.content.clone(),
            run: report.run.clone(),
            sender: submission.sender.clone(),
            late: judgement.late,
            transition: judgement.transition,
        };
        let hash = entry.leaf_hash_with(&self.task.origin, &mut self.line);
        self.entries.push(NewEntry {
            entry,
            host_id,
            root,
            kept: report.kept.clone(),
            digest: report.digest,
            hash: Hash(hash),
            out_of_order: heard.out_of_order,
        });
        hash
    }

    /// What stands around a place: in what is recorded, and in this batch.
    fn surroundings(
        &mut self,
        state: &HostState,
        event: &Event<'_>,
    ) -> Result<Surroundings, Trouble> {
        let (mut neighbours, unknown) = state.neighbours(event);
        if unknown.is_any() {
            let names = Names::of(state);
            neighbours.merge(self.task.writer.neighbours(&names, event.place, unknown)?);
            for new in self.staged(state) {
                neighbours.take_in(event.place, &new.event());
            }
        }
        Ok(neighbours.surroundings())
    }

    /// The entries of a host in this batch.
    pub(super) fn staged(&self, state: &HostState) -> impl Iterator<Item = &NewEntry> {
        let staged = self.hosts.get(&state.key);
        let entries = staged
            .into_iter()
            .flat_map(|staged| std::iter::once(staged.first).chain(staged.more.iter().copied()));
        entries.map(|at| &self.entries[at])
    }
}
