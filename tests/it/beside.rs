//! What one request costs all others: syncs before its answer, counted between the server and the system. Seconds are measured by `scripts/bench beside`.

use crate::harness::pipeline_report;
use crate::process::Process;
use serde_json::Value;

/// Stands before the C library: for each sync of SQLite's files a byte goes to the file `syncs`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int is(int file, const char *ending) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    ssize_t end = strlen(ending);
    return length > end && !memcmp(path + length - end, ending, end);
}
static int synced(const char *call, int file) {
    if (is(file, "-wal") || is(file, ".db")) {
        int counted = open("syncs", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (write(counted, "s", 1) != 1) return -1;
        close(counted);
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, call))(file);
}
int fsync(int file) { return synced("fsync", file); }
int fdatasync(int file) { return synced("fdatasync", file); }
"#;
/// Requests of a kind.
const ROUNDS: u32 = 4;
/// Reports of an array, at most; each of another host.
const HOSTS: u32 = 1000;
/// An array takes one. The projector goes on while the next array is being parsed, and takes one for each
/// eight hosts, some twice; a look-up that writes would take one for each of a thousand.
const SYNCS_MAX: u64 = HOSTS as u64 / 2;
const NOON: u32 = 720;

/// A report of each host, at a minute of the day.
fn array(minute: u32) -> Value {
    let time = format!("2026-04-25T{:02}:{:02}:00Z", minute / 60, minute % 60);
    (0..HOSTS).map(|host| pipeline_report("g", &format!("h{host}"), &time)).collect()
}

/// Sends pairs of arrays: one of new reports, then one of the minute that `minute` says. The syncs before
/// the answer to either, and the server's newest id.
fn syncs(minute: fn(u32) -> u32) -> (Vec<u64>, Vec<u64>, u64) {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::preloaded(folder.path(), SHIM);
    let so_far = || std::fs::metadata(folder.path().join("syncs")).map_or(0, |file| file.len());
    let cost = |minute| {
        let (body, before) = (array(minute), so_far());
        server.post("/status/pipeline", &body).ok();
        so_far() - before
    };
    cost(NOON); // creates the hosts
    let round = |round| (cost(NOON + round), cost(minute(round)));
    let (new, other) = (1..=ROUNDS).map(round).unzip();
    let size = server.json("/history?limit=1&sort=id&order=desc")["items"][0]["id"]
        .as_str()
        .unwrap()
        .parse();
    (new, other, size.unwrap())
}

#[test]
fn an_array_of_repeated_reports_is_looked_up_without_a_sync_for_each() {
    let (new, repeated, size) = syncs(|round| NOON + round);
    assert_eq!(size, u64::from(HOSTS * (1 + ROUNDS)), "nothing is stored twice");
    assert!(new.iter().all(|syncs| (1..=SYNCS_MAX).contains(syncs)), "{new:?}");
    assert!(repeated.iter().all(|syncs| *syncs <= SYNCS_MAX), "{repeated:?}");
}

#[test]
fn an_array_of_older_reports_is_looked_up_without_a_sync_for_each() {
    let (_, older, size) = syncs(|round| NOON - round);
    assert_eq!(size, u64::from(HOSTS * (1 + 2 * ROUNDS)), "all are stored");
    assert!(older.iter().all(|syncs| (1..=SYNCS_MAX).contains(syncs)), "{older:?}");
}
