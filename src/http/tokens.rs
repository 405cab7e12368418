//! The access tokens in force, exchanged whole while requests are in flight.

use crate::domain::access::TokenSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The access tokens in force; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Option<Arc<InForce>>);

#[derive(Debug)]
struct InForce {
    set: RwLock<Arc<TokenSet>>,
    /// Whether the file, as it is now, is what is in force.
    current: AtomicBool,
}

impl Tokens {
    /// These tokens; the default is none, and everything open.
    pub fn new(set: TokenSet) -> Self {
        let set = RwLock::new(Arc::new(set));
        Self(Some(Arc::new(InForce { set, current: AtomicBool::new(true) })))
    }

    /// Puts other ones in force.
    pub fn replace(&self, set: TokenSet) {
        if let Some(inner) = &self.0 {
            *inner.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
            inner.current.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that the file has something else, which cannot be taken.
    pub fn outdated(&self) {
        if let Some(inner) = &self.0 {
            inner.current.store(false, Ordering::Relaxed);
        }
    }

    /// Those in force; `None` if everything is open.
    pub fn in_force(&self) -> Option<Arc<TokenSet>> {
        let set = self.0.as_ref()?.set.read();
        Some(Arc::clone(&set.unwrap_or_else(PoisonError::into_inner)))
    }

    /// Whether those in force are what the file has now.
    pub fn are_current(&self) -> bool {
        self.0.as_ref().is_none_or(|inner| inner.current.load(Ordering::Relaxed))
    }
}
