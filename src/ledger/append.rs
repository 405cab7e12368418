//! Appending a batch to the ledger: its rows, the numbers of what they refer to, and the head.

use super::batch::{NewEntry, Truth};
use super::direct::ask;
use super::numbers::Numbers;
use super::pushes::write_grouping;
use super::rows::{NarrowEntry, content_json, hash8};
use super::steps::{
    self, INSERT_CONTENTS, INSERT_HOSTS, INSERT_RUNS, INSERT_SENDERS, Step, enter_times, grow,
    insert_rows, json_text, put_aside,
};
use crate::domain::content::ContentDigest;
use crate::domain::line::{hex, unhex};
use crate::domain::report::{Run, Sender};
use crate::files::trouble::Trouble;
use rusqlite::Connection;
use std::collections::HashSet;

const KNOWN_NUMBERS: &str = "
SELECT 0, digest, NULL, id FROM content WHERE digest IN (SELECT value FROM json_each($1))
UNION ALL
SELECT 1, s.reported_by, s.remote_address, s.id FROM json_each($2) w JOIN sender s
    ON s.reported_by IS w.value->>0 AND s.remote_address IS w.value->>1
UNION ALL
SELECT 2, r.run_id, r.run_url, r.id FROM json_each($3) w JOIN run r
    ON r.run_id IS w.value->>0 AND r.run_url IS w.value->>1";

/// Entries that are taken into the index of times at once. A commit that finds fewer leaves them: who reads
/// by time looks at them as well, by id.
const RUN: u64 = 256;

/// How far the ledger goes, and the numbers given.
#[derive(Debug)]
pub struct Appender {
    /// The newest entry's id.
    pub size: u64,
    /// See `head.timed`.
    timed: u64,
    contents: Numbers<ContentDigest>,
    senders: Numbers<Sender>,
    runs: Numbers<Run>,
}

impl Appender {
    /// Goes on behind `size` entries, with the highest numbers given to contents, senders and runs.
    pub fn behind(size: u64, timed: u64, [contents, senders, runs]: [i64; 3]) -> Self {
        Self {
            size,
            timed,
            contents: Numbers::new(contents),
            senders: Numbers::new(senders),
            runs: Numbers::new(runs),
        }
    }

    /// Notes that a batch is committed.
    pub fn committed(&mut self, truth: &Truth) {
        self.size += truth.entries.len() as u64;
        self.timed = self.timed_with(self.size);
        self.contents.keep_small();
        self.senders.keep_small();
        self.runs.keep_small();
    }

    /// What appends a batch.
    pub fn append(&mut self, connection: &Connection, truth: &Truth) -> Result<Vec<Step>, Trouble> {
        self.learn_numbers(connection, truth)?;
        let (rows, mut steps) = self.number(truth);
        steps.extend(insert_rows(&rows));
        steps.extend(truth.growth.iter().flat_map(|growth| grow(self.size, growth)));
        steps.extend(steps::note_arrays(&truth.arrays));
        let timed = self.timed_with(self.size + rows.len() as u64);
        if timed > self.timed {
            steps.extend(enter_times(self.timed, timed));
        }
        steps.extend(put_aside(truth));
        steps.extend(truth.groupings.iter().flat_map(write_grouping));
        Ok(steps)
    }

    /// Up to where the index of times goes in a history of `size` entries.
    fn timed_with(&self, size: u64) -> u64 {
        if size >= self.timed + RUN { size } else { self.timed }
    }

    /// Looks up, in one query, the numbers of what this batch refers to and memory does not hold.
    fn learn_numbers(&mut self, connection: &Connection, truth: &Truth) -> Result<(), Trouble> {
        let (mut contents, mut senders, mut runs) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for NewEntry { entry, digest, .. } in &truth.entries {
            if !self.contents.known.contains_key(digest) {
                contents.insert(hex(digest));
            }
            if !self.senders.known.contains_key(&*entry.sender) {
                senders.insert((&entry.sender.reported_by, &entry.sender.remote_address));
            }
            if let Some(run) = &entry.run
                && !self.runs.known.contains_key(&**run)
            {
                runs.insert((&run.run_id, &run.run_url));
            }
        }
        if contents.is_empty() && senders.is_empty() && runs.is_empty() {
            return Ok(());
        }
        let asked = [json_text(&contents), json_text(&senders), json_text(&runs)];
        let found = ask(connection, KNOWN_NUMBERS, asked, |row| {
            let texts: (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
            Ok((row.get::<_, i64>(0)?, texts, row.get::<_, i64>(3)?))
        })?;
        for (table, (a, b), id) in found {
            match table {
                0 => {
                    if let Some(digest) = a.and_then(unhex) {
                        self.contents.known.insert(digest, id);
                    }
                }
                1 => {
                    let sender = Sender { reported_by: a, remote_address: b };
                    self.senders.known.insert(sender, id);
                }
                _ => {
                    self.runs.known.insert(Run { run_id: a, run_url: b }, id);
                }
            }
        }
        Ok(())
    }

    /// Gives numbers to what is new; answers the rows, and the steps that write what is new.
    fn number(&mut self, truth: &Truth) -> (Vec<NarrowEntry>, Vec<Step>) {
        let (mut contents, mut senders, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(truth.entries.len());
        for NewEntry { entry, host_id, digest, hash, .. } in &truth.entries {
            let content_id = self.contents.number(digest, |id| {
                contents.push(content_json(id, digest, &entry.content));
            });
            let sender = &*entry.sender;
            let sender_id = self.senders.number(sender, |id| {
                senders.push((id, &sender.reported_by, &sender.remote_address));
            });
            let run_id = entry
                .run
                .as_deref()
                .map(|run| self.runs.number(run, |id| runs.push((id, &run.run_id, &run.run_url))));
            rows.push(NarrowEntry {
                id: entry.id,
                host_id: *host_id,
                received_at: entry.received_at,
                time: entry.time,
                reported_at: entry.reported_at,
                content_id,
                sender_id,
                run_id,
                kind: entry.kind,
                source: entry.source,
                late: entry.late,
                transition: entry.transition,
                hash8: hash8(hash),
            });
        }
        let hosts = truth.new_hosts.iter().map(|(id, key)| (id, &*key.server_group, &*key.host));
        let hosts: Vec<_> = hosts.collect();
        let fresh = [
            Step::insert(INSERT_HOSTS, &hosts),
            Step::insert(INSERT_CONTENTS, &contents),
            Step::insert(INSERT_SENDERS, &senders),
            Step::insert(INSERT_RUNS, &runs),
        ];
        (rows, fresh.into_iter().flatten().collect())
    }
}
