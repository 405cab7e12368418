//! What a push leaves out: a stack that its grouping held and that is not in it any more is gone,
//! which is not the same as clean.

use super::stage::Stage;
use super::{Receipt, Submission};
use crate::domain::names::HostKey;
use crate::domain::push::Push;
use crate::domain::report::{Kind, Report, Source};
use crate::store::{PushedGrouping, Trouble};
use std::collections::BTreeMap;

impl Stage<'_> {
    /// Concludes what a push says of the stacks it leaves out, behind its reports. A push that holds no
    /// stack's state says nothing about any, unless it deletes its grouping.
    pub(super) async fn take_absences(
        &mut self,
        push: &Push,
        submission: &Submission,
    ) -> Result<Vec<Receipt>, Trouble> {
        if submission.reports.is_empty() && !push.deletes {
            return Ok(Vec::new());
        }
        let mut known = match self.groupings.get(&push.grouping) {
            Some(known) => known.clone(),
            None => self.task.writer.grouping(&push.grouping).await?,
        };
        let named = self.named(&submission.reports);
        let time = push.run_at.unwrap_or(self.received_at).min(self.received_at);
        if known.pushed_at.is_some_and(|newest| time < newest) && !push.deletes {
            // What a late push leaves out may have come later. What it holds, the next one must hold too.
            known.members.extend(named);
            self.groupings.insert(push.grouping.clone(), known);
            return Ok(Vec::new());
        }
        let mut receipts = Vec::new();
        let gone = known.members.iter().filter(|(name, _)| !named.contains_key(name));
        for (_, key) in gone {
            // Whom a person has retired, a push does not bring back by leaving it out.
            if self.find(key).is_none_or(|(_, state)| state.is_retired()) {
                continue;
            }
            let absence = Report {
                key: key.clone(),
                kind: Kind::Inferred,
                source: Source::Pushgateway,
                reported_at: push.run_at,
                content: push.absence.clone(),
                digest: push.absence_digest,
                run: None,
            };
            receipts.push(self.take_report(&absence, submission).await?);
        }
        let pushed_at = if push.deletes { known.pushed_at } else { Some(time) };
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
