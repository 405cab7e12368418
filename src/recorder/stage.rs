//! A batch being folded in memory, before anything is written.

use super::incoming::Results;
use super::messages::{AHEAD_TOLERANCE, Receipt, RecordError, Submission};
use super::task::Task;
use crate::domain::course::{Change, Step};
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::push::Grouping;
use crate::domain::report::{Kind, Report, Source};
use crate::domain::state::{HostState, Judgement};
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::tree::Hash;
use crate::store::{
    Batch, CommitError, Disorder, KeyRecord, Names, NewEntry, Patience, PushedGrouping, Trouble,
    Twin,
};
use foldhash::{HashMap, HashMapExt};
use std::collections::HashSet;
use std::sync::Arc;

/// How long an Idempotency-Key is remembered, in microseconds.
const KEY_LIFETIME: i64 = 7 * 24 * 3600 * SECOND;

/// The hosts a batch touches, and what it will write.
pub(super) struct Stage<'t> {
    pub(super) task: &'t mut Task,
    /// When the submissions came that are folded just now.
    pub(super) received_at: Timestamp,
    states: HashMap<HostKey, Arc<HostState>>,
    new_hosts: Vec<(i64, HostKey)>,
    entries: Vec<NewEntry>,
    /// Where the lines of entries are written, one after the other, to be hashed.
    line: Vec<u8>,
    keys: Vec<KeyRecord>,
    changes: Vec<(i64, Change)>,
    /// Hosts whose course must be folded anew, by their numbers.
    disorders: HashMap<i64, Disorder>,
    out_of_order: Vec<(i64, u64)>,
    /// Groupings that pushes of this batch have changed.
    pub(super) groupings: HashMap<Grouping, PushedGrouping>,
}

impl<'t> Stage<'t> {
    /// For about so many reports.
    pub fn new(task: &'t mut Task, reports: usize) -> Self {
        Self {
            received_at: task.now(),
            task,
            states: HashMap::with_capacity(reports),
            new_hosts: Vec::new(),
            entries: Vec::with_capacity(reports),
            line: Vec::with_capacity(2048),
            keys: Vec::new(),
            changes: Vec::new(),
            disorders: HashMap::new(),
            out_of_order: Vec::new(),
            groupings: HashMap::new(),
        }
    }

    /// Folds every submission that has no result yet, but for those in `damaged`; a refused one leaves no
    /// trace. An error names the submission that met it.
    pub async fn take_rest(
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
                results.push(self.take(submission).await.map_err(|error| (at, error))?);
            }
        }
        Ok(())
    }

    pub fn into_batch(self) -> Batch {
        Batch {
            new_hosts: self.new_hosts,
            entries: self.entries,
            states: self.states.into_values().collect(),
            keys: self.keys,
            changes: self.changes,
            disorders: self.disorders.into_values().collect(),
            out_of_order: self.out_of_order,
            groupings: self.groupings.into_values().collect(),
            renaming: None,
            growth: None,
            rejections: Vec::new(),
            forget_keys_before: Timestamp(self.received_at.0 - KEY_LIFETIME),
        }
    }

    async fn take(
        &mut self,
        submission: &Submission,
    ) -> Result<Result<Vec<Receipt>, RecordError>, Trouble> {
        if let Some(key) = &submission.key {
            match self.known_key(&key.token, &key.key).await? {
                Some((body, ids)) if body == key.body => return self.replay(&ids).await.map(Ok),
                Some(_) => return Ok(Err(RecordError::KeyReused)),
                None => {}
            }
        }
        let unknown = self.unknown_hosts(submission);
        if !unknown.is_empty() {
            return Ok(Err(RecordError::UnknownHosts(unknown)));
        }
        let mut receipts = Vec::with_capacity(submission.reports.len());
        for report in &submission.reports {
            receipts.push(self.take_report(report, submission).await?);
        }
        if let Some(push) = &submission.push {
            receipts.extend(self.take_absences(push, submission).await?);
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
        if let Some(state) = self.states.get(key) {
            return Some((state.host_id, state.clone()));
        }
        let (name, state) = self.task.board.find(key)?;
        Some((name, self.states.get(&state.key).cloned().unwrap_or(state)))
    }

    fn state(&self, key: &HostKey) -> Option<Arc<HostState>> {
        self.find(key).map(|(_, state)| state)
    }

    pub(super) async fn take_report(
        &mut self,
        report: &Report,
        submission: &Submission,
    ) -> Result<Receipt, Trouble> {
        let found = self.find(&report.key);
        if let Some((name, state)) = &found
            && report.kind == Kind::Report
            && let Some(twin) = self.find_twin(*name, state, report).await?
        {
            return self.receipt_of(twin, state.clone()).await;
        }
        let reported_at = report.reported_at.unwrap_or(self.received_at);
        let place = Place { time: reported_at.min(self.received_at), id: self.next_id() };
        let (name, mut state, judgement) = match found {
            None => {
                let host_id = self.task.last_host_id + self.new_hosts.len() as i64 + 1;
                self.new_hosts.push((host_id, report.key.clone()));
                let (state, judgement) = HostState::begin(host_id, report, place);
                (host_id, Arc::new(state), judgement)
            }
            Some((name, mut state)) => {
                let around = if state.is_out_of_order(place) {
                    Some(self.surroundings(&state, report, place).await?)
                } else {
                    None
                };
                let judgement = Arc::make_mut(&mut state).add(report, place, around.as_ref());
                (name, state, judgement)
            }
        };
        let (source, content) = (Some(report.source), &*report.content);
        let digest = report.digest;
        let step = Step { place, kind: report.kind, source, content, digest };
        self.advance(Arc::make_mut(&mut state), name, step);
        let hash = self.append(report, submission, place, judgement, name);
        self.states.insert(state.key.clone(), state.clone());
        Ok(Receipt {
            id: place.id,
            hash,
            duplicate: false,
            judgement,
            ahead: reported_at.0 > self.received_at.0 + AHEAD_TOLERANCE,
            state,
        })
    }

    /// Folds an entry into its host's course, or notes that the course must be folded anew.
    fn advance(&mut self, state: &mut HostState, name: i64, step: Step<'_>) {
        let (root, Place { time, id }) = (state.host_id, step.place);
        if let Some(disorder) = self.disorders.get_mut(&root) {
            if time <= disorder.last.max(disorder.course.last) {
                self.out_of_order.push((name, id));
            }
            disorder.first = disorder.first.min(time);
            disorder.last = disorder.last.max(time);
        } else if state.course.is_before(time) {
            let mut changes = Vec::new();
            state.course.advance(&[step], &mut changes);
            self.changes.extend(changes.into_iter().map(|change| (root, change)));
        } else {
            self.out_of_order.push((name, id));
            let names = Names::of(state);
            let course = state.course.clone();
            self.disorders.insert(root, Disorder { names, course, first: time, last: time });
        }
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
        host_id: i64,
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
        self.entries.push(NewEntry { entry, host_id, digest: report.digest, hash: Hash(hash) });
        hash
    }

    /// What stands around a place: in the database, and in this batch.
    async fn surroundings(
        &mut self,
        state: &HostState,
        report: &Report,
        at: Place,
    ) -> Result<crate::domain::surroundings::Surroundings, Trouble> {
        let (mut neighbours, unknown) = state.neighbours(report, at);
        let names = Names::of(state);
        if unknown.is_any() {
            self.settle(state.host_id).await?;
            neighbours.merge(self.task.writer.neighbours(&names, at, unknown).await?);
        }
        for NewEntry { entry, host_id, .. } in &self.entries {
            if let (true, Some(source)) = (names.all.contains(host_id), entry.source) {
                let place = Place { time: entry.time, id: entry.id };
                neighbours.take_in(at, place, source, &entry.content);
            }
        }
        Ok(neighbours.surroundings())
    }

    /// Settles a host whose entries are about to be looked up. If another process has written meanwhile,
    /// the batch will not go through anyway.
    async fn settle(&mut self, root: i64) -> Result<(), Trouble> {
        if !self.task.writer.is_unsettled(root) {
            return Ok(());
        }
        let settled = self.task.writer.settle(&[root], Patience::Usual).await;
        self.task.tell_settled();
        match settled {
            Ok(_) | Err(CommitError::Moved) => Ok(()),
            Err(CommitError::NotStored(error) | CommitError::Unknown(error)) => Err(error),
        }
    }

    /// The stored (or just folded) entry that this report repeats.
    async fn find_twin(
        &mut self,
        name: i64,
        state: &HostState,
        report: &Report,
    ) -> Result<Option<u64>, Trouble> {
        let stored: Vec<Twin> = match report.reported_at {
            // A time later than any sent before cannot be a repetition: no look-up in the usual case.
            Some(time) if Some(time) > state.max_reported_at => return Ok(None),
            None if report.source != Source::Import => return Ok(None),
            _ => {
                self.settle(state.host_id).await?;
                self.task.writer.twins(name, report).await?
            }
        };
        let same = |content: &crate::domain::content::Content,
                    run: Option<&crate::domain::report::Run>| {
            report.content.same_as_sent(content) && report.run.as_deref() == run
        };
        let stored = stored.iter().find(|twin| same(&twin.content, twin.run.as_deref()));
        if let Some(twin) = stored {
            return Ok(Some(twin.id));
        }
        let folded = self.entries.iter().find(|NewEntry { entry, host_id, .. }| {
            let timed = report.reported_at.is_none() || entry.reported_at == report.reported_at;
            *host_id == name
                && entry.source == Some(report.source)
                && timed
                && same(&entry.content, entry.run.as_deref())
        });
        Ok(folded.map(|known| known.entry.id))
    }

    /// The receipt of an entry that is there already.
    async fn receipt_of(&mut self, id: u64, state: Arc<HostState>) -> Result<Receipt, Trouble> {
        let folded = self.entries.iter().find(|known| known.entry.id == id);
        let entry = match folded {
            Some(known) => Some(known.entry.clone()),
            None => self.task.writer.entry(id).await?,
        };
        let missing = || Trouble::damaged(format!("entry {id} is missing"));
        let entry = entry.ok_or_else(missing)?;
        Ok(Receipt {
            id,
            hash: entry.leaf_hash(&self.task.origin),
            duplicate: true,
            judgement: Judgement { late: entry.late, transition: entry.transition },
            ahead: false,
            state,
        })
    }

    /// The body's digest and the ids of a remembered key.
    async fn known_key(
        &mut self,
        token: &str,
        key: &str,
    ) -> Result<Option<(String, Vec<u64>)>, Trouble> {
        let folded = self.keys.iter().find(|known| known.token == token && known.key == key);
        if let Some(known) = folded {
            return Ok(Some((known.body.clone(), known.ids.clone())));
        }
        let stored = self.task.writer.key(token, key).await?;
        let oldest = Timestamp(self.received_at.0 - KEY_LIFETIME);
        Ok(stored.filter(|(.., at)| *at >= oldest).map(|(body, ids, _)| (body, ids)))
    }

    async fn replay(&mut self, ids: &[u64]) -> Result<Vec<Receipt>, Trouble> {
        let mut receipts = Vec::with_capacity(ids.len());
        for id in ids {
            let folded = self.entries.iter().find(|known| known.entry.id == *id);
            let key = match folded {
                Some(known) => Some(known.entry.key.clone()),
                None => self.task.writer.entry(*id).await?.map(|entry| entry.key),
            };
            let state = key.and_then(|key| self.state(&key));
            let missing = || Trouble::damaged(format!("entry {id} is missing"));
            receipts.push(self.receipt_of(*id, state.ok_or_else(missing)?).await?);
        }
        Ok(receipts)
    }
}
