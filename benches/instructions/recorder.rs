//! The whole write path: reports through the recorder's queue into a file on disk.

use super::benches::Work;
use super::data::{self, DATABASE, HOSTS, NOW};
use futures_util::future::join_all;
use gitops_status_server::domain::report::Source;
use gitops_status_server::domain::time::{SECOND, Timestamp};
use gitops_status_server::recorder::Submission;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Requests of one report each that wait at once, as they do when many clients report.
pub const WAITING: usize = 16;
/// Reports in each of as many waiting requests.
pub const ARRAY: usize = 100;

/// One report at a time.
pub fn single(work: &Work) {
    rounds(work, 1, 1);
}

/// Single reports of several clients at once.
pub fn some(work: &Work) {
    rounds(work, WAITING, 1);
}

/// Arrays of several clients at once.
pub fn arrays(work: &Work) {
    rounds(work, WAITING, ARRAY);
}

/// Submits so many requests of so many reports at once, and waits for all answers.
fn rounds(work: &Work, requests: usize, reports: usize) {
    // A copy: each process writes into its own.
    let folder = tempfile::tempdir_in(work.folder).unwrap();
    let path = folder.path().join(DATABASE);
    std::fs::copy(work.folder.join(DATABASE), &path).unwrap();
    // Parsing is no part of it, so all that could be sent is parsed, however much will be.
    let mut planned: Vec<Vec<Submission>> =
        (0..work.of).map(|round| round_of(round, requests, reports)).collect();
    planned.truncate(work.times);
    let clock = Arc::new(AtomicI64::new(NOW.0));
    actix_web::rt::System::new().block_on(async {
        let database = data::open(&path, clock.clone()).await;
        for (round, submissions) in planned.into_iter().enumerate() {
            clock.store(time(round, HOSTS).0, Ordering::Relaxed);
            let waiting = submissions.into_iter().map(|one| database.recorder.record(one));
            for answer in join_all(waiting).await {
                assert_eq!(answer.unwrap().len(), reports);
            }
        }
        database.close().await;
    });
}

/// Every report has a time of its own, later than those before it.
fn round_of(round: usize, requests: usize, reports: usize) -> Vec<Submission> {
    let report = |at: usize| {
        let host = (round * requests * reports + at) % HOSTS;
        data::report(Source::Pipeline, &data::pipeline_body(host, time(round, at / HOSTS)))
    };
    let request = |at: usize| (at * reports..(at + 1) * reports).map(report).collect();
    (0..requests).map(|at| data::submission(request(at))).collect()
}

fn time(round: usize, within: usize) -> Timestamp {
    Timestamp(NOW.0 + (round * 120 + within) as i64 * SECOND)
}
