//! What a push leaves out: a stack that its grouping held and that is not in it any more is gone,
//! which is not the same as clean.

use super::messages::{Receipt, Submission};
use super::stage::Stage;
use crate::domain::names::HostKey;
use crate::domain::push::Push;
use crate::domain::report::{Kind, Report, Source};
use crate::files::Trouble;
use crate::ledger::PushedGrouping;
use std::collections::{BTreeMap, BTreeSet};

impl Stage<'_> {
    /// Concludes what a push says of the stacks it leaves out, behind its reports. A push that holds no
    /// stack's state says nothing about any, unless it deletes its grouping.
    pub(super) fn take_absences(
        &mut self,
        push: &Push,
        submission: &Submission,
    ) -> Result<Vec<Receipt>, Trouble> {
        if submission.reports.is_empty() && !push.deletes {
            return Ok(Vec::new());
        }
        let mut known = match self.groupings.get(&push.grouping) {
            Some(known) => known.clone(),
            None => self.task.writer.grouping(&push.grouping)?,
        };
        let named = self.named(&submission.reports);
        let time = push.run_at.unwrap_or(self.received_at).min(self.received_at);
        if known.pushed_at.is_some_and(|newest| time < newest) && !push.deletes {
            // What a late push leaves out may have come later. What it holds, the next one must hold too.
            known.members.extend(named);
            self.groupings.insert(push.grouping.clone(), known);
            return Ok(Vec::new());
        }
        // A stack that has a new name is there if either name is.
        let root = |key: &HostKey| self.find(key).map(|(_, state)| state.host_id);
        let there: BTreeSet<i64> = named.values().filter_map(root).collect();
        let mut receipts = Vec::new();
        for key in known.members.values() {
            let Some((_, state)) = self.find(key) else { continue };
            // Whom a person has retired, a push does not bring back by leaving it out.
            if there.contains(&state.host_id) || state.is_retired() {
                continue;
            }
            let absence = Report {
                key: key.clone(),
                kind: Kind::Inferred,
                source: Source::Pushgateway,
                reported_at: push.run_at,
                content: push.absence.clone(),
                kept: push.absence.clone(),
                digest: push.absence_digest,
                run: None,
            };
            receipts.push(self.take_report(&absence, submission)?);
        }
        let pushed_at = (!push.deletes).then_some(time);
        let known = PushedGrouping { pushed_at, members: named, ..known };
        self.groupings.insert(push.grouping.clone(), known);
        Ok(receipts)
    }

    /// The hosts that reports name, by the numbers of their names.
    fn named(&self, reports: &[Report]) -> BTreeMap<i64, HostKey> {
        let found = reports.iter().filter_map(|report| {
            let (name, _) = self.find(&report.key)?;
            Some((name, report.key.clone()))
        });
        found.collect()
    }
}
