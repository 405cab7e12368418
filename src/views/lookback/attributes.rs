//! What every host was at the end of a look back: what its newest deployment before that said. Segments
//! name it, so that nobody has to walk back to it.

use crate::domain::content::{Content, ContentDigest};
use crate::domain::course::Change;
use crate::domain::line::{hex, unhex};
use crate::domain::review::Attributes;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::views::lookback::{Lookback, Past};
use crate::views::readers::Readers;
use sqlx::Row;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the last segment of each host ($1: its place in the list, its number, a time) says was
/// deployed.
const DEPLOYMENTS: &str = "SELECT g.value->>0, (SELECT (SELECT c.digest FROM content c \
     WHERE c.id = s.deployment_id) FROM segment s WHERE s.host_id = g.value->>1 \
     AND s.start < g.value->>2 ORDER BY s.start DESC LIMIT 1) FROM json_each($1) g";
const CONTENT_IDS: &str =
    "SELECT digest, id FROM content WHERE digest IN (SELECT value FROM json_each($1))";
const OTHER_THAN_LEGACY: &str = "SELECT g.value FROM json_each($1) g WHERE EXISTS \
     (SELECT 1 FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
      WHERE e.host_id = g.value AND h.source <> 2 AND e.time < $2 AND e.seq <= $3)";

impl Lookback<'_> {
    /// Fills in what each host was at the end of the stretch: what the newest deployment before it said.
    pub async fn fill_in_attributes(
        &mut self,
        readers: &Readers,
        states: &HashMap<i64, HostState>,
    ) -> Result<(), sqlx::Error> {
        let before = self.at.map_or(self.to, |_| self.end());
        let stored = self.deployments_written_down(before).await?;
        let digests = self
            .hosts
            .iter()
            .zip(stored)
            .map(|(past, stored)| past.deployment_before(before, stored));
        let digests: Vec<Option<ContentDigest>> = digests.collect();
        let contents = self.contents(readers, digests.iter().flatten()).await?;
        // Without a deployment a host may be one that only v1 clients report.
        let doubtful = self.hosts.iter().zip(&digests).filter(|(past, digest)| {
            let now = states.get(&past.names.root);
            digest.is_none() && !now.is_some_and(HostState::only_legacy)
        });
        let doubtful: Vec<i64> =
            doubtful.flat_map(|(past, _)| past.names.all.iter().copied()).collect();
        let others = self.other_than_legacy(&doubtful, before).await?;
        for (past, digest) in self.hosts.iter_mut().zip(digests) {
            let content = digest.and_then(|digest| contents.get(&digest).cloned());
            let only_legacy = !past.names.all.iter().any(|name| others.contains(name));
            let key = past.attributes.key.clone();
            past.attributes = Attributes::deployed(key, content.as_deref(), only_legacy);
            past.deployed = content;
        }
        Ok(())
    }

    /// For each host, the deployment that the last segment written down before a time names.
    async fn deployments_written_down(
        &mut self,
        before: Timestamp,
    ) -> Result<Vec<Option<ContentDigest>>, sqlx::Error> {
        let hosts: Vec<_> = self
            .hosts
            .iter()
            .enumerate()
            .map(|(at, past)| (at, past.root(), past.written_until().min(before).0))
            .collect();
        let hosts = serde_json::to_string(&hosts).expect("integers are JSON");
        let mut found = vec![None; self.hosts.len()];
        for row in sqlx::query(DEPLOYMENTS).bind(hosts).fetch_all(&mut *self.connection).await? {
            let digest = row.try_get::<Option<&str>, _>(1)?.and_then(unhex);
            found[row.try_get::<i64, _>(0)? as usize] = digest;
        }
        Ok(found)
    }

    /// The contents of some digests.
    async fn contents(
        &mut self,
        readers: &Readers,
        digests: impl Iterator<Item = &ContentDigest>,
    ) -> Result<HashMap<ContentDigest, Arc<Content>>, sqlx::Error> {
        let wanted: HashSet<String> = digests.map(|digest| hex(digest)).collect();
        let wanted = serde_json::to_string(&wanted).expect("strings are JSON");
        let mut ids = HashMap::new();
        for row in sqlx::query(CONTENT_IDS).bind(wanted).fetch_all(&mut *self.connection).await? {
            if let Some(digest) = unhex(row.try_get::<&str, _>(0)?) {
                ids.insert(row.try_get::<i64, _>(1)?, digest);
            }
        }
        let contents = readers.dictionary().kept(self.connection, ids.keys().copied()).await?;
        Ok(contents.into_iter().map(|(id, content)| (ids[&id], content)).collect())
    }

    /// Which of these names somebody else than v1 clients had reported before a time.
    async fn other_than_legacy(
        &mut self,
        names: &[i64],
        before: Timestamp,
    ) -> Result<HashSet<i64>, sqlx::Error> {
        let names = serde_json::to_string(names).expect("integers are JSON");
        let mut found = HashSet::new();
        for text in self.index.texts(OTHER_THAN_LEGACY) {
            let query = sqlx::query(text).bind(&names).bind(before.0);
            for row in query.bind(self.as_of as i64).fetch_all(&mut *self.connection).await? {
                found.insert(row.try_get(0)?);
            }
        }
        Ok(found)
    }
}

impl Past {
    /// What was deployed before a time; `stored` is what the segments that are written down say.
    fn deployment_before(
        &self,
        time: Timestamp,
        stored: Option<ContentDigest>,
    ) -> Option<ContentDigest> {
        if self.course.open.is_some_and(|open| open.start < time) {
            return self.course.deployment;
        }
        let folded = self.since.iter().rev().find_map(|change| match change {
            Change::Segment(segment) if segment.start < time => Some(segment),
            _ => None,
        });
        folded.map_or(stored, |segment| segment.deployment)
    }
}
