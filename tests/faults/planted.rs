//! Bugs that somebody could write, each with the fault that must find it. `scripts/faults --planted` builds
//! the server with each and has it found; `cargo test` checks that each still fits the sources.

/// A bug.
#[derive(Debug)]
pub struct Planted {
    pub name: &'static str,
    /// What is wrong, in a sentence.
    pub says: &'static str,
    /// The fault that finds it.
    pub found_by: &'static str,
    /// What the fault says of it, one of these: found for another reason is not found.
    pub because: &'static [&'static str],
    /// The bug itself: file, a text that is there exactly once, and what stands there instead.
    pub edits: &'static [(&'static str, &'static str, &'static str)],
}

/// A bug that shows in several ways; which is seen first is chance.
const ANYTHING: &[&str] = &[""];
/// What was acknowledged is gone; or the server itself remembers that there was more.
const LOST: &[&str] = &["was acknowledged and is not there", "accept-rollback"];

impl Planted {
    /// Whether a fault's failure is about this bug.
    pub fn explains(&self, failure: &str) -> bool {
        self.because.iter().any(|reason| failure.contains(reason))
    }
}

pub const PLANTED: &[Planted] = &[
    Planted {
        name: "synchronous-normal",
        says: "commits are not synced, as many guides advise",
        found_by: "power-cut",
        because: LOST,
        edits: &[(
            "src/files/connect.rs",
            "\"synchronous\", \"FULL\"",
            "\"synchronous\", \"NORMAL\"",
        )],
    },
    Planted {
        name: "acknowledged-before-commit",
        says: "callers are answered when their reports are folded, and the commit comes afterwards",
        found_by: "power-cut",
        because: LOST,
        edits: &[(
            "src/recorder.rs",
            "            match self.commit(batch) {",
            "            for (answer, result) in incoming.answers.drain(..).zip(&results) {
                let _ = answer.send(result.clone());
            }
            match self.commit(batch) {",
        )],
    },
    Planted {
        name: "head-aside",
        says: "how far the history goes is written in a transaction of its own, behind that of the entries",
        found_by: "power-cut",
        because: &["does not cover the history", "its head says"],
        edits: &[(
            "src/ledger/direct.rs",
            "for Step { text, values } in steps {",
            "for Step { text, values } in steps {
        if text.starts_with(\"UPDATE head SET tree_size\") {
            connection.execute_batch(\"COMMIT; BEGIN IMMEDIATE\")?;
        }",
        )],
    },
    Planted {
        name: "receipt-of-another-line",
        says: "the receipt's hash is not that of the line",
        found_by: "kill",
        because: &["is not that of the line"],
        edits: &[(
            "src/recorder/stage.rs",
            "let hash = entry.leaf_hash_with(&self.task.origin, &mut self.line);
        self.entries.push",
            "let hash = entry.leaf_hash_with(\"another\", &mut self.line);
        self.entries.push",
        )],
    },
    Planted {
        name: "watermark-too-early",
        says: "the watermark moves past entries that no step has taken",
        found_by: "late",
        because: ANYTHING,
        edits: &[(
            "src/projection/plan.rs",
            "let watermark = first.map_or(self.appender.size, |first| first - 1);
        let (size",
            "let watermark = first.map_or(self.appender.size, |_| self.appender.size);
        let (size",
        )],
    },
    Planted {
        name: "tail-forgotten",
        says: "who reads by host does not look behind the watermark",
        found_by: "kill",
        because: &["by host there are"],
        edits: &[(
            "src/projection/index.rs",
            "if !head.map_or(Ok(false), |row| row.try_get(0))? {",
            "if head.is_none_or(|row| row.try_get::<bool, _>(0).is_ok()) {",
        )],
    },
    Planted {
        name: "refold-not-listed",
        says: "the watermark passes a late entry whose host is not listed to be folded anew",
        found_by: "late",
        because: &["projections are not what the history says"],
        edits: &[(
            "src/projection/plan.rs",
            "if let Some(listing) = share.listing() {",
            "if let Some(listing) = share.listing().filter(|_| size == 0) {",
        )],
    },
    Planted {
        name: "refold-without-generation",
        says: "a step of folding a host anew is written although something came late meanwhile",
        found_by: "late",
        because: &["projections are not what the history says"],
        edits: &[(
            "src/projection/refolds.rs",
            "row.filter(|row| row.generation == done.generation)",
            "row.filter(|row| row.generation >= done.generation)",
        )],
    },
    Planted {
        name: "run-without-its-last",
        says: "each run of entries leaves its last one out of the index of times",
        found_by: "kill",
        because: &["the index time_entry does not say what its table says"],
        edits: &[(
            "src/ledger/steps.rs",
            "FROM drift_history WHERE seq > ? AND seq <= ?",
            "FROM drift_history WHERE seq > ? AND seq < ?",
        )],
    },
    Planted {
        name: "memory-kept",
        says: "after a failed commit the recorder goes on with what it has in memory",
        found_by: "disk-full",
        because: ANYTHING,
        edits: &[(
            "src/recorder/task.rs",
            "        self.void = true;
        self.failing = true;",
            "        self.failing = true;",
        )],
    },
    Planted {
        name: "numbers-kept",
        says: "numbers given in a transaction that failed stay known",
        found_by: "disk-full",
        because: ANYTHING,
        edits: &[
            (
                "src/ledger/append.rs",
                "    /// Notes that a batch is committed.",
                "    /// Goes on behind so many entries.
    pub fn go_on(&mut self, size: u64, timed: u64) {
        (self.size, self.timed) = (size, timed);
    }

    /// Notes that a batch is committed.",
            ),
            (
                "src/projection/load.rs",
                "self.appender = Appender::behind(",
                "if self.appender.size > 0 {
            return self.appender.go_on(head.size, head.timed);
        }
        self.appender = Appender::behind(",
            ),
        ],
    },
    Planted {
        name: "no-room-kept",
        says: "reports are taken until the disk is full to the last page",
        found_by: "disk-full",
        because: &["that were to stay free", "does not get full", "/ready is not 503"],
        edits: &[(
            "src/files/space.rs",
            "self.min_free > 0 && self",
            "self.min_free > u64::MAX - 1 && self",
        )],
    },
    Planted {
        name: "on-after-failed-sync",
        says: "the server goes on with a disk that has failed to sync",
        found_by: "io-error",
        because: &["goes on after a sync that failed"],
        edits: &[("src/recorder/task.rs", "            self.disk.lost = true;\n", "")],
    },
    Planted {
        name: "second-server-let-in",
        says: "the lock is asked for, and the answer ignored",
        found_by: "second-server",
        because: &["a second server serves"],
        edits: &[(
            "src/files/lock.rs",
            "Err(TryLockError::WouldBlock) => {}",
            "Err(TryLockError::WouldBlock) => break,",
        )],
    },
    Planted {
        name: "not-stored-after-failed-commit",
        says: "an I/O error at COMMIT is answered as \"not stored\"",
        found_by: "io-error",
        because: &["was refused and is there"],
        edits: &[(
            "src/ledger/direct.rs",
            "CommitError::Unknown(cause)",
            "CommitError::NotStored(cause)",
        )],
    },
    Planted {
        name: "begin-deferred",
        says: "a transaction reads before it takes the write lock",
        found_by: "locked",
        because: &["a short lock is not waited for"],
        edits: &[(
            "src/ledger/direct.rs",
            "run(connection, &[Step { text: BEGIN, values: Vec::new() }])",
            "run(connection, &[Step { text: &BEGIN[..5], values: Vec::new() }])?;
    Ok(connection.query_row(\"SELECT size FROM head\", [], |_| Ok(()))?)",
        )],
    },
    Planted {
        name: "projecting-waits",
        says: "projecting in between waits for another's write lock, and reports wait for it",
        found_by: "locked",
        because: &["does not lead to a 503"],
        edits: &[(
            "src/projection/plan.rs",
            "self.without_waiting(|writer| writer.transact(&[&steps]))",
            "self.transact(&[&steps])",
        )],
    },
    Planted {
        name: "refolding-waits",
        says: "a step of folding a host anew waits for another's write lock, and reports wait for it",
        found_by: "locked",
        because: &["does not lead to a 503"],
        edits: &[(
            "src/projection/refolds.rs",
            "self.without_waiting(|writer| writer.transact(&[&steps]))",
            "self.transact(&[&steps])",
        )],
    },
    Planted {
        name: "seq-given-by-sqlite",
        says: "ids come from an identity column, and nobody compares them with the head",
        found_by: "import-beside",
        because: ANYTHING,
        edits: &[
            ("src/ledger/steps.rs", "THEN ?2 END\"", "THEN ?2 ELSE ?2 END\""),
            (
                "src/ledger/steps.rs",
                "[self.insert, &list(rows, COLUMNS)].concat()",
                "[self.insert, &list(rows, COLUMNS).replace(\"(?,?,?,?,?,?,?,?,?,?)\", \"(NULL AND ?,?,?,?,?,?,?,?,?,?)\")].concat()",
            ),
        ],
    },
    Planted {
        name: "clock-believed",
        says: "a clock that goes back takes received_at with it",
        found_by: "clock",
        because: &["received_at goes back"],
        edits: &[
            (
                "src/recorder/task.rs",
                "self.watch.now().max(self.last_received)",
                "self.watch.now()",
            ),
            (
                "src/recorder/stage.rs",
                "received_at: task.last_received,",
                "received_at: task.now(),",
            ),
        ],
    },
    Planted {
        name: "jump-believed",
        says: "a clock that jumps ahead takes the history along",
        found_by: "clock",
        because: &["recorded with a clock off by"],
        edits: &[("src/recorder/watch.rs", "if by > CLOCK_TOLERANCE {", "if by > i64::MAX - 1 {")],
    },
    Planted {
        name: "future-gone-on-with",
        says: "a history that reaches into the future is gone on with",
        found_by: "clock",
        because: &["recorded with a clock off by"],
        edits: &[(
            "src/recorder/watch.rs",
            "newest.0 > now.0.saturating_add(CLOCK_TOLERANCE)",
            "newest.0 > i64::MAX - 1",
        )],
    },
    Planted {
        name: "stop-at-once",
        says: "SIGTERM breaks off what is in flight",
        found_by: "stop",
        because: &["in flight"],
        edits: &[(
            "src/commands/serve.rs",
            "    server.stop(true).await;",
            "    server.stop(false).await;",
        )],
    },
    Planted {
        name: "commit-owned-by-the-handler",
        says: "what a client no longer waits for is not written",
        found_by: "reset",
        because: &["was handed over whole and is not there"],
        edits: &[(
            "src/recorder/incoming.rs",
            "self.reports += submission.reports.len();",
            "if answer.is_closed() {
                    return;
                }
                self.reports += submission.reports.len();",
        )],
    },
    Planted {
        name: "body-without-deadline",
        says: "a body may take as long as it likes",
        found_by: "slow-body",
        because: &["no 408"],
        edits: &[(
            "src/http/body.rs",
            "BODY_DEADLINE: Duration = Duration::from_secs(10)",
            "BODY_DEADLINE: Duration = Duration::from_secs(10_000)",
        )],
    },
    Planted {
        name: "queue-without-bound",
        says: "however many wait, one more may",
        found_by: "queue-full",
        because: &["nobody was refused"],
        edits: &[(
            "src/recorder.rs",
            "QUEUE_MAX_REQUESTS: usize = 1024",
            "QUEUE_MAX_REQUESTS: usize = 1 << 20",
        )],
    },
    Planted {
        name: "export-in-one-transaction",
        says: "a stream holds a read transaction while its client drains it",
        found_by: "slow-export",
        because: &["the log grew"],
        edits: &[
            (
                "src/views/readers.rs",
                "    /// A connection whose queries end at the deadline counted from now.",
                "    /// A snapshot, for as long as it is kept.
    pub async fn hold(&self) -> Result<Box<dyn std::any::Any + Send>, sqlx::Error> {
        let mut connection = self.location.open_reader().await?;
        sqlx::query(\"BEGIN\").execute(&mut connection).await?;
        sqlx::query(\"SELECT size FROM head\").execute(&mut connection).await?;
        Ok(Box::new(connection))
    }

    /// A connection whose queries end at the deadline counted from now.",
            ),
            (
                "src/http/history/walk.rs",
                "    patient: bool,
    done: bool,
}",
                "    patient: bool,
    done: bool,
    held: Option<Box<dyn std::any::Any + Send>>,
}",
            ),
            (
                "src/http/history/walk.rs",
                "            patient: false,
            done: false,",
                "            patient: false,
            done: false,
            held: None,",
            ),
            (
                "src/http/history/walk.rs",
                "    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, ReadError> {",
                "    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.held.is_none() {
            self.held = Some(self.readers.hold().await?);
        }",
            ),
        ],
    },
];
