//! Which processor runs what. The load generator has the last one; the server may use all of them
//! (why: `benches/README.md`), unless `BENCH_PIN` says otherwise.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::num::NonZeroU64;
use std::time::Duration;

/// What is pinned, as `BENCH_PIN` says: `generator` (the default), `apart` (the server has the other
/// processors), `none`.
pub fn manner() -> String {
    std::env::var("BENCH_PIN").unwrap_or_else(|_| "generator".to_owned())
}

/// Called by the generator's thread.
pub fn generator() {
    // The kernel may wake a sleeper 50 us late, to save power; a paced load wants its moment.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    if manner() != "none" {
        let last = allowed().pop().expect("there is a processor");
        set(&[last]);
    }
}

/// Called by the server's process before it starts threads.
pub fn server() {
    let mut all = allowed();
    if manner() == "apart" && all.len() > 1 {
        all.pop();
        set(&all);
    }
}

fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("the processors of this process");
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

fn set(cpus: &[usize]) {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    sched_setaffinity(None, &set).expect("pinning");
}

/// How long this thread has been running on a processor.
pub fn thread_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
