//! The board: every host's folded state in memory, as of the newest commit.
//!
//! The recorder publishes to it after each commit, before it answers; everyone else only reads.

use crate::domain::names::HostKey;
use crate::domain::state::HostState;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// All hosts, ordered by group and host.
#[derive(Debug, Default)]
pub struct Board {
    inner: RwLock<Inner>,
}

/// One consistent view of the board.
#[derive(Debug, Default)]
pub struct Inner {
    /// Every host's state.
    pub hosts: BTreeMap<HostKey, Arc<HostState>>,
    /// The newest entry's id.
    pub size: u64,
    /// Rises with every publication.
    pub version: u64,
}

impl Board {
    /// Looks at the board; hold the guard shortly, the recorder waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One host's state.
    pub fn get(&self, key: &HostKey) -> Option<Arc<HostState>> {
        self.read().hosts.get(key).cloned()
    }

    /// The newest entry's id.
    pub fn size(&self) -> u64 {
        self.read().size
    }

    /// Puts up the states a commit has changed.
    pub fn publish(&self, states: impl IntoIterator<Item = Arc<HostState>>, size: u64) {
        let mut inner = self.write();
        for state in states {
            inner.hosts.insert(state.key.clone(), state);
        }
        inner.size = size;
        inner.version += 1;
    }

    /// Puts up what was loaded from the database, and nothing else.
    pub fn replace(&self, states: Vec<HostState>, size: u64) {
        let hosts = states.into_iter().map(|state| (state.key.clone(), Arc::new(state))).collect();
        let mut inner = self.write();
        inner.hosts = hosts;
        inner.size = size;
        inner.version += 1;
    }
}
