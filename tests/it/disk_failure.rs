//! A disk that fails to sync: the kernel may have dropped what was written, and says so only once.
//! Nothing may be built on that.

use crate::harness::pipeline_report;
use crate::process::{Process, SERVE, binary, url};
use std::path::Path;

/// Stands before the C library: while the file `fail` is in the folder, every sync fails, once.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
static int fails(void) { return unlink("fail") == 0; }
int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (fails()) { errno = EIO; return -1; }
    return real(file);
}
int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fails()) { errno = EIO; return -1; }
    return real(file);
}
"#;

/// A start that ends by itself.
fn start_with_shim(folder: &Path) -> (i32, String) {
    let mut server = binary(folder);
    server.args(SERVE).env("DATABASE_URL", url(folder));
    let output = server.env("LD_PRELOAD", folder.join("shim.so")).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_sync_that_fails_ends_the_server_and_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::preloaded(folder.path(), SHIM);
    let (first, second) = (
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        pipeline_report("g", "h", "2026-04-26T11:00:00Z"),
    );
    server.pipeline(&first);
    std::fs::write(folder.path().join("fail"), "").unwrap();
    let problem = server.post("/status/pipeline", &second).problem(503);
    assert!(!folder.path().join("fail").exists(), "no sync was asked for");
    assert_eq!(problem["stored"], "unknown");
    assert_eq!(server.wait().code(), Some(1), "it must not go on");
    // If that fails to sync again what the log holds, there is no start.
    std::fs::write(folder.path().join("fail"), "").unwrap();
    let (code, said) = start_with_shim(folder.path());
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(!folder.path().join("fail").exists() && said.contains("disk I/O error"), "{said}");
    // Whoever runs it starts it again; the sender sends again, and it is there once.
    let server = Process::start(folder.path());
    // Three pages: what the start itself has settled.
    let log = Process::bytes_of(folder.path(), "-wal");
    assert!(log < 4 * 4096, "written and synced anew, not left in a log of {log} bytes");
    let again = server.pipeline(&second);
    assert_eq!(again["report"]["id"], "2");
    assert_eq!(server.lines().len(), 2);
    assert_eq!(server.pipeline(&first)["report"]["duplicate"], true);
}
