//! Two hosts that turn out to be one.

use super::HostState;
use crate::domain::names::HostKey;
use crate::domain::place::{Place, Word};

impl HostState {
    /// The state of a host that goes on under a name of which nothing was known. Its course is to be folded
    /// anew from the beginning.
    #[must_use]
    pub fn under(&self, key: HostKey, host_id: i64) -> Self {
        let mut former: Vec<i64> = self.former.to_vec();
        former.push(self.host_id);
        former.sort_unstable();
        Self { key, host_id, former: former.into(), course: None, ..self.clone() }
    }

    /// The state of a host that goes on under the name of `self`, with all that `other` was told before.
    /// Its course is to be folded anew from the beginning. `first_drift_after` answers where the first
    /// `out_of_sync` report of either host behind a place is.
    pub fn merged<E>(
        &self,
        other: &Self,
        first_drift_after: impl FnOnce(Place) -> Result<Option<Place>, E>,
    ) -> Result<Self, E> {
        fn newer<T: Clone>(a: Option<&Word<T>>, b: Option<&Word<T>>) -> Option<Word<T>> {
            let word = match (a, b) {
                (Some(a), Some(b)) => Some(if a.place > b.place { a } else { b }),
                (a, b) => a.or(b),
            };
            word.cloned()
        }
        let mut former: Vec<i64> = self.former.iter().chain(&*other.former).copied().collect();
        former.push(other.host_id);
        former.sort_unstable();
        let newest = if self.newest.place > other.newest.place { self } else { other };
        let mut merged = Self {
            key: self.key.clone(),
            host_id: self.host_id,
            former: former.into(),
            reports: self.reports + other.reports,
            first_time: self.first_time.min(other.first_time),
            newest: newest.newest.clone(),
            deployment: newer(self.deployment.as_ref(), other.deployment.as_ref()),
            check: newer(self.check.as_ref(), other.check.as_ref()),
            status: newer(self.status.as_ref(), other.status.as_ref()),
            check_status: newer(self.check_status.as_ref(), other.check_status.as_ref()),
            files: newer(self.files.as_ref(), other.files.as_ref()),
            word: newer(self.word.as_ref(), other.word.as_ref()),
            last_pipeline_run: self.last_pipeline_run.max(other.last_pipeline_run),
            last_cron_check: self.last_cron_check.max(other.last_cron_check),
            synced: self.synced.max(other.synced),
            drifted: self.drifted.max(other.drifted),
            drift_start: None,
            newest_legacy_id: self.newest_legacy_id.max(other.newest_legacy_id),
            legacy_reports: self.legacy_reports + other.legacy_reports,
            max_reported_at: self.max_reported_at.max(other.max_reported_at),
            last_by_source: std::array::from_fn(|source| {
                self.last_by_source[source].max(other.last_by_source[source])
            }),
            retired: self.retired.max(other.retired),
            course: None,
        };
        let undrifted = merged.undrifted();
        merged.drift_start = match (merged.drifted, undrifted) {
            (Some(drifted), Some(undrifted)) if drifted > undrifted => {
                first_drift_after(undrifted)?
            }
            (Some(_), None) => [self.drift_start, other.drift_start].into_iter().flatten().min(),
            _ => None,
        };
        Ok(merged)
    }
}
