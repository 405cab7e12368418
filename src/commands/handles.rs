//! File handles: each connection needs one, and the database must never be without.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Handles for everything but connections: database, log, threads.
const OWN: usize = 128;

/// How many connections there are handles for, at most as many as wanted. What the system lets a
/// process raise itself is raised.
pub fn for_connections(wanted: usize) -> usize {
    let needed = (wanted + OWN) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        let _ = setrlimit(Resource::Nofile, limit);
        limit = getrlimit(Resource::Nofile);
    }
    let open = limit.current.map_or(usize::MAX, |current| current as usize);
    let connections = wanted.min(open.saturating_sub(OWN).max(1));
    if connections < wanted {
        tracing::warn!(
            "only {open} files may be open, so at most {connections} connections instead of \
             MAX_CONNECTIONS={wanted}; let the process open {needed} (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}
