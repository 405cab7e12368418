//! The board: every host's folded state in memory, as of the newest commit.
//!
//! The recorder publishes to it after each commit, before it answers; everyone else only reads.

use crate::domain::names::HostKey;
use crate::domain::near::near;
use crate::domain::report::Report;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use foldhash::fast::RandomState;
use indexmap::IndexMap;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// All hosts, ordered by group and host.
#[derive(Debug, Default)]
pub struct Board {
    inner: RwLock<Inner>,
    /// The newest entry's id once more, for those who wait for one.
    grown: watch::Sender<u64>,
}

/// One consistent view of the board.
#[derive(Debug, Default)]
pub struct Inner {
    /// Every host's state: found by hash, several times for each report, and kept in order.
    pub hosts: IndexMap<HostKey, Arc<HostState>, RandomState>,
    /// Former names of hosts, whose entries fold into another one.
    pub former: BTreeMap<HostKey, FormerName>,
    /// When each job was last pushed with a stack's state.
    pub last_runs: HashMap<Arc<str>, Timestamp>,
    /// The newest entry's id.
    pub size: u64,
    /// Rises with every publication.
    pub version: u64,
}

/// A name that a host had before it was renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerName {
    /// Its number in the dictionary.
    pub host_id: i64,
    /// The host's name now.
    pub now: HostKey,
}

impl Inner {
    /// Every host that is not retired, ordered by group and host.
    pub fn present(&self) -> impl Iterator<Item = &Arc<HostState>> {
        self.hosts.values().filter(|state| !state.is_retired())
    }

    /// Every name, former ones included: the name, its number, and its host's state.
    pub fn names(&self) -> impl Iterator<Item = (&HostKey, i64, &Arc<HostState>)> {
        let now = self.hosts.iter().map(|(key, state)| (key, state.host_id, state));
        let former = self
            .former
            .iter()
            .filter_map(|(key, former)| Some((key, former.host_id, self.hosts.get(&former.now)?)));
        now.chain(former)
    }

    /// The host of a name, be it a former one; with the number of that name.
    pub fn find(&self, key: &HostKey) -> Option<(i64, &Arc<HostState>)> {
        if let Some(state) = self.hosts.get(key) {
            return Some((state.host_id, state));
        }
        let former = self.former.get(key)?;
        Some((former.host_id, self.hosts.get(&former.now)?))
    }
}

impl Board {
    /// Looks at the board; hold the guard shortly, the recorder waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Inner::find`].
    pub fn find(&self, key: &HostKey) -> Option<(i64, Arc<HostState>)> {
        self.read().find(key).map(|(id, state)| (id, state.clone()))
    }

    /// Up to `most` hosts that a person may have meant by an unknown name, of those groups that who
    /// asks may know of. Nobody waits for the comparing: it goes by a snapshot.
    pub fn near(
        &self,
        wanted: &HostKey,
        may_know_of: impl Fn(&str) -> bool,
        most: usize,
    ) -> Vec<HostKey> {
        let hosts: Vec<Arc<HostState>> = self.read().hosts.values().cloned().collect();
        let known = hosts.iter().map(|state| &state.key);
        near(wanted, known.filter(|key| may_know_of(&key.server_group)), most)
    }

    /// Every host's state as it is now, by the host's number.
    pub fn by_number(&self) -> impl Fn(i64) -> Option<Arc<HostState>> + use<> {
        let inner = self.read();
        let hosts: HashMap<_, _> =
            inner.hosts.values().map(|state| (state.host_id, state.clone())).collect();
        move |host| hosts.get(&host).cloned()
    }

    /// Lets reports that repeat what their host has said share it. What they bring is dropped here,
    /// by the thread that made it, which is far cheaper than by the recorder's.
    pub fn share_contents(&self, reports: &mut [Report]) {
        let inner = self.read();
        for report in reports {
            let known = inner.hosts.get(&report.key).and_then(|state| state.same_content(report));
            if let Some(known) = known.cloned() {
                if Arc::ptr_eq(&report.content, &report.kept) {
                    report.content = known.clone();
                }
                report.kept = known;
            }
        }
    }

    /// The newest entry's id.
    pub fn size(&self) -> u64 {
        self.read().size
    }

    /// Waits until there is an entry of this id; without end if none comes.
    pub async fn reaches(&self, id: u64) {
        let mut grown = self.grown.subscribe();
        // It fails only without a board.
        let _ = grown.wait_for(|size| *size >= id).await;
    }

    /// Lets readers in again, and wakes those who wait for what is there now.
    fn put_up(&self, mut inner: RwLockWriteGuard<'_, Inner>, size: u64) {
        inner.size = size;
        inner.version += 1;
        drop(inner);
        self.grown.send_replace(size);
    }

    /// Puts up the states that a commit has changed, and when jobs were last pushed if it changed that.
    pub fn publish(
        &self,
        states: impl IntoIterator<Item = Arc<HostState>>,
        last_runs: Option<HashMap<Arc<str>, Timestamp>>,
        size: u64,
    ) {
        let mut inner = self.write();
        if let Some(last_runs) = last_runs {
            inner.last_runs = last_runs;
        }
        for state in states {
            match inner.hosts.get_mut(&state.key) {
                Some(known) => *known = state,
                None => drop(inner.hosts.insert_sorted(state.key.clone(), state)),
            }
        }
        self.put_up(inner, size);
    }

    /// Puts up that a host goes on under another name, with this state.
    pub fn rename(&self, old: &HostKey, state: Arc<HostState>, size: u64) {
        let mut inner = self.write();
        let now = state.key.clone();
        let host_id = inner.hosts.shift_remove(old).map(|state| state.host_id);
        for former in inner.former.values_mut().filter(|former| former.now == *old) {
            former.now = now.clone();
        }
        if let Some(host_id) = host_id {
            inner.former.insert(old.clone(), FormerName { host_id, now });
        }
        match inner.hosts.get_mut(&state.key) {
            Some(known) => *known = state,
            None => drop(inner.hosts.insert_sorted(state.key.clone(), state)),
        }
        self.put_up(inner, size);
    }

    /// Puts up what was loaded from the database, and nothing else. `former`: names, their numbers,
    /// and the numbers of the hosts they belong to.
    pub fn replace(
        &self,
        states: Vec<Arc<HostState>>,
        former: Vec<(HostKey, i64, i64)>,
        last_runs: HashMap<Arc<str>, Timestamp>,
        size: u64,
    ) {
        let names: BTreeMap<i64, &HostKey> =
            states.iter().map(|state| (state.host_id, &state.key)).collect();
        let former = former.into_iter().filter_map(|(name, host_id, root)| {
            Some((name, FormerName { host_id, now: (*names.get(&root)?).clone() }))
        });
        let former = former.collect();
        let hosts = states.into_iter().map(|state| (state.key.clone(), state));
        let mut hosts: IndexMap<_, _, _> = hosts.collect();
        hosts.sort_unstable_keys();
        let mut inner = self.write();
        inner.hosts = hosts;
        inner.former = former;
        inner.last_runs = last_runs;
        self.put_up(inner, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::apply::{Host, apply};
    use crate::domain::content::Content;
    use crate::domain::event::Event;
    use crate::domain::place::Place;
    use crate::domain::report::{Kind, Source};

    #[test]
    fn names_are_compared_while_the_board_is_free() {
        let content = Content::default();
        let report = Report {
            key: HostKey::new("web", "web-01"),
            kind: Kind::Report,
            source: Source::Pipeline,
            reported_at: None,
            digest: content.digest(),
            kept: Arc::new(content.clone()),
            content: Arc::new(content),
            run: None,
        };
        let place = Place { time: Timestamp(0), id: 1 };
        let board = Board::default();
        let (mut state, key) = (None, report.key.clone());
        let event = Event::of(&report, place);
        apply(&mut state, Host { key: &key, id: 1 }, &[event], &mut Vec::new());
        board.publish(state.map(Arc::new), None, 1);
        let wanted = HostKey::new("web", "web-1");
        let free = |_: &str| board.inner.try_write().is_ok();
        assert_eq!(board.near(&wanted, free, 5), [report.key]);
        assert_eq!(board.near(&wanted, |_| false, 5), []);
    }
}
