-- The history of drift reports and the state folded from it.
--
-- Times are integer microseconds UTC. Enumerations are integers:
--   status     0 synced, 1 out_of_sync, 2 failed, 3 unknown
--   source     0 pipeline, 1 cron, 2 legacy, 3 pushgateway, 4 import; null for acts of people
--   kind       0 report, 1 inferred, 2 retire, 3 alias
--   transition 0 none, 1 opened, 2 changed, 3 closed
-- People read the views `history` and `status` at the end of this file.

-- One row: who this history is, and how far it goes.
CREATE TABLE head (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    origin       TEXT    NOT NULL,              -- 'gitops-status-server/' and 32 hex digits, made once
    size         INTEGER NOT NULL DEFAULT 0,    -- number of entries = the newest seq
    prune_before INTEGER NOT NULL DEFAULT 0,    -- entries below may be deleted (0: none)
    probed_at    INTEGER NOT NULL DEFAULT 0     -- written by the readiness probe after a failed write
) STRICT;

-- Dictionaries: what repeats is kept once. Append-only like the history that refers to them.

CREATE TABLE host (
    id           INTEGER PRIMARY KEY,
    server_group TEXT NOT NULL,
    host         TEXT NOT NULL,
    UNIQUE (server_group, host)
) STRICT;

-- What was said (null: not said). Found again by `digest`.
CREATE TABLE content (
    id                 INTEGER PRIMARY KEY,
    digest             TEXT    NOT NULL UNIQUE, -- 32 hex digits
    status             INTEGER,
    changed_files      TEXT,                    -- JSON list: paths, or objects of kind, path, sha256
    declared_count     INTEGER,
    max_age            INTEGER,                 -- seconds
    max_age_sent       INTEGER NOT NULL,        -- 1: the sender said it, 0: stamped from our settings
    project_name       TEXT,
    repo_name          TEXT,
    server_type        TEXT,
    environment        TEXT,
    validation_status  INTEGER,                 -- 0 passed, 1 failed, 2 skipped
    validation_message TEXT,
    commit_sha         TEXT,
    branch             TEXT,
    updated_by         TEXT,
    last_pipeline_run  INTEGER,                 -- carried by imports only
    last_cron_check    INTEGER,                 -- carried by imports only
    labels             TEXT,                    -- JSON object of strings
    reason             TEXT,
    detail             TEXT                     -- JSON object
) STRICT;

CREATE TABLE sender (
    id             INTEGER PRIMARY KEY,
    reported_by    TEXT,
    remote_address TEXT
) STRICT;
CREATE INDEX sender_by_address ON sender (remote_address, reported_by);

CREATE TABLE run (
    id      INTEGER PRIMARY KEY,
    run_id  TEXT,
    run_url TEXT
) STRICT;
CREATE INDEX run_by_id_and_url ON run (run_id, run_url);

-- The truth: one row for every entry, in the order of arrival, for ever.
-- Columns are chosen to cost few bytes: `time` and `reported_at` are computed, and small integers
-- cost one byte or none.
CREATE TABLE drift_history (
    seq         INTEGER PRIMARY KEY,            -- the entry's id: 1, 2, 3 … without holes
    host_id     INTEGER NOT NULL REFERENCES host (id),
    received_at INTEGER NOT NULL,               -- when it came; never decreases with seq
    lag         INTEGER NOT NULL,               -- received_at - time
    ahead       INTEGER,                        -- reported_at - time; null if no time was sent
    content_id  INTEGER NOT NULL REFERENCES content (id),
    sender_id   INTEGER NOT NULL REFERENCES sender (id),
    run_id      INTEGER REFERENCES run (id),
    kind        INTEGER NOT NULL,
    source      INTEGER,
    late        INTEGER NOT NULL,
    transition  INTEGER NOT NULL,
    hash8       INTEGER NOT NULL,               -- first 8 bytes of the leaf hash, big-endian
    time        INTEGER NOT NULL GENERATED ALWAYS AS (received_at - lag) VIRTUAL,
    reported_at INTEGER GENERATED ALWAYS AS (received_at - lag + ahead) VIRTUAL
) STRICT;

CREATE INDEX history_by_host ON drift_history (host_id, time);
CREATE INDEX history_by_time ON drift_history (time);
-- The rare rows that are looked for by themselves:
CREATE INDEX history_changes_by_host ON drift_history (host_id, time) WHERE transition <> 0;
CREATE INDEX history_changes_by_time ON drift_history (time) WHERE transition <> 0;
CREATE INDEX history_imports ON drift_history (host_id) WHERE source = 4;
CREATE INDEX history_ahead ON drift_history (host_id, reported_at) WHERE ahead > 0;

-- Append-only, by the database's own hand.

CREATE TRIGGER history_insert_next BEFORE INSERT ON drift_history
WHEN NEW.seq IS NOT (SELECT size + 1 FROM head) BEGIN
    SELECT RAISE(ROLLBACK, 'drift_history takes only the next seq');
END;
CREATE TRIGGER history_inserted AFTER INSERT ON drift_history BEGIN
    UPDATE head SET size = NEW.seq;
END;
CREATE TRIGGER history_no_update BEFORE UPDATE ON drift_history BEGIN
    SELECT RAISE(ABORT, 'drift_history is append-only');
END;
CREATE TRIGGER history_no_delete BEFORE DELETE ON drift_history
WHEN OLD.seq >= (SELECT prune_before FROM head) BEGIN
    SELECT RAISE(ABORT, 'drift_history is append-only');
END;
CREATE TRIGGER head_only_grows BEFORE UPDATE ON head
WHEN NEW.size < OLD.size OR NEW.origin <> OLD.origin
     OR NEW.prune_before <> OLD.prune_before    -- until there is retention, nothing may be deleted
     OR (NEW.size > OLD.size AND NOT EXISTS (SELECT 1 FROM drift_history WHERE seq = NEW.size)) BEGIN
    SELECT RAISE(ABORT, 'head only grows');
END;
CREATE TRIGGER head_no_delete BEFORE DELETE ON head BEGIN
    SELECT RAISE(ABORT, 'head is for ever');
END;
CREATE TRIGGER head_one_row BEFORE INSERT ON head WHEN EXISTS (SELECT 1 FROM head) BEGIN
    SELECT RAISE(ABORT, 'head has one row');
END;

-- A dictionary row is part of every entry that refers to it. The insert triggers stop REPLACE.
CREATE TRIGGER host_insert_new BEFORE INSERT ON host
WHEN EXISTS (SELECT 1 FROM host WHERE id = NEW.id
             OR (server_group = NEW.server_group AND host = NEW.host)) BEGIN
    SELECT RAISE(ABORT, 'host is append-only');
END;
CREATE TRIGGER host_no_update BEFORE UPDATE ON host BEGIN
    SELECT RAISE(ABORT, 'host is append-only');
END;
CREATE TRIGGER host_no_delete BEFORE DELETE ON host BEGIN
    SELECT RAISE(ABORT, 'host is append-only');
END;
CREATE TRIGGER content_insert_new BEFORE INSERT ON content
WHEN EXISTS (SELECT 1 FROM content WHERE id = NEW.id OR digest = NEW.digest) BEGIN
    SELECT RAISE(ABORT, 'content is append-only');
END;
CREATE TRIGGER content_no_update BEFORE UPDATE ON content BEGIN
    SELECT RAISE(ABORT, 'content is append-only');
END;
CREATE TRIGGER content_no_delete BEFORE DELETE ON content BEGIN
    SELECT RAISE(ABORT, 'content is append-only');
END;
CREATE TRIGGER sender_insert_new BEFORE INSERT ON sender
WHEN EXISTS (SELECT 1 FROM sender WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'sender is append-only');
END;
CREATE TRIGGER sender_no_update BEFORE UPDATE ON sender BEGIN
    SELECT RAISE(ABORT, 'sender is append-only');
END;
CREATE TRIGGER sender_no_delete BEFORE DELETE ON sender BEGIN
    SELECT RAISE(ABORT, 'sender is append-only');
END;
CREATE TRIGGER run_insert_new BEFORE INSERT ON run
WHEN EXISTS (SELECT 1 FROM run WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'run is append-only');
END;
CREATE TRIGGER run_no_update BEFORE UPDATE ON run BEGIN
    SELECT RAISE(ABORT, 'run is append-only');
END;
CREATE TRIGGER run_no_delete BEFORE DELETE ON run BEGIN
    SELECT RAISE(ABORT, 'run is append-only');
END;

-- The fold of each host's reports: which entries are in force. Rebuildable from the history.
-- Every *_seq column names an entry.
CREATE TABLE current_state (
    host_id           INTEGER PRIMARY KEY REFERENCES host (id),
    reports           INTEGER NOT NULL,
    first_time        INTEGER NOT NULL,
    status            INTEGER NOT NULL,         -- in force; 3 if nobody said any
    newest_seq        INTEGER NOT NULL,
    deployment_seq    INTEGER,                  -- newest of pipeline, import
    check_seq         INTEGER,                  -- newest of cron, legacy, pushgateway, inferred
    status_seq        INTEGER,                  -- newest that said a status
    check_status_seq  INTEGER,                  -- newest check that said a status
    files_seq         INTEGER,                  -- newest that spoke of files
    synced_seq        INTEGER,                  -- newest synced
    drifted_seq       INTEGER,                  -- newest out_of_sync
    drift_start_seq   INTEGER,                  -- first out_of_sync of the open drift
    newest_legacy_seq INTEGER,
    legacy_reports    INTEGER NOT NULL,
    last_pipeline_run INTEGER,
    last_cron_check   INTEGER,
    max_reported_at   INTEGER
) STRICT;

-- Retries with the same Idempotency-Key, for 7 days.
CREATE TABLE idempotency (
    token       TEXT    NOT NULL,               -- name of the access token, '' without
    key         TEXT    NOT NULL,
    body        TEXT    NOT NULL,               -- SHA-256 of route and body, hex
    ids         TEXT    NOT NULL,               -- JSON list: the entries this request answered with
    received_at INTEGER NOT NULL,
    PRIMARY KEY (token, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (received_at);

-- Refused reports, the newest 10,000.
CREATE TABLE rejection (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    time         INTEGER NOT NULL,
    source       INTEGER NOT NULL,
    server_group TEXT,
    host         TEXT,
    reason       TEXT    NOT NULL
) STRICT;

-- For people: plain names, words instead of integers, times as text.

CREATE VIEW history AS
SELECT h.seq                                                                   AS id,
       CASE h.kind WHEN 0 THEN 'report' WHEN 1 THEN 'inferred' WHEN 2 THEN 'retire'
                   WHEN 3 THEN 'alias' END                                      AS kind,
       CASE h.source WHEN 0 THEN 'pipeline' WHEN 1 THEN 'cron' WHEN 2 THEN 'legacy'
                     WHEN 3 THEN 'pushgateway' WHEN 4 THEN 'import' END          AS source,
       o.server_group,
       o.host,
       strftime('%Y-%m-%dT%H:%M:%SZ', h.time / 1000000, 'unixepoch')            AS time,
       strftime('%Y-%m-%dT%H:%M:%SZ', h.reported_at / 1000000, 'unixepoch')     AS reported_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', h.received_at / 1000000, 'unixepoch')     AS received_at,
       CASE c.status WHEN 0 THEN 'synced' WHEN 1 THEN 'out_of_sync' WHEN 2 THEN 'failed'
                     WHEN 3 THEN 'unknown' END                                  AS status,
       c.changed_files,
       c.declared_count,
       c.max_age,
       c.project_name,
       c.repo_name,
       c.server_type,
       c.environment,
       CASE c.validation_status WHEN 0 THEN 'passed' WHEN 1 THEN 'failed'
                                WHEN 2 THEN 'skipped' END                       AS validation_status,
       c.validation_message,
       c.commit_sha,
       c.branch,
       c.updated_by,
       c.labels,
       r.run_id,
       r.run_url,
       h.late,
       CASE h.transition WHEN 0 THEN 'none' WHEN 1 THEN 'opened' WHEN 2 THEN 'changed'
                         WHEN 3 THEN 'closed' END                               AS transition,
       s.reported_by,
       s.remote_address,
       c.reason,
       c.detail
FROM drift_history h
JOIN host o    ON o.id = h.host_id
JOIN content c ON c.id = h.content_id
JOIN sender s  ON s.id = h.sender_id
LEFT JOIN run r ON r.id = h.run_id;

CREATE VIEW status AS
SELECT o.server_group,
       o.host,
       CASE t.status WHEN 0 THEN 'synced' WHEN 1 THEN 'out_of_sync' WHEN 2 THEN 'failed'
                     WHEN 3 THEN 'unknown' END                                  AS status,
       CASE WHEN t.files_seq IS NULL THEN '[]'
            ELSE coalesce(files.changed_files, '[]') END                        AS changed_files,
       deployment.project_name,
       CASE WHEN t.legacy_reports = t.reports THEN o.server_group
            ELSE deployment.repo_name END                                       AS repo_name,
       deployment.server_type,
       deployment.environment,
       deployment.commit_sha,
       deployment.branch,
       deployment.updated_by,
       checked.commit_sha                                                       AS checked_commit_sha,
       (SELECT strftime('%Y-%m-%dT%H:%M:%SZ', h.time / 1000000, 'unixepoch')
          FROM drift_history h WHERE h.seq = t.drift_start_seq)                 AS drift_since,
       strftime('%Y-%m-%dT%H:%M:%SZ', newest.time / 1000000, 'unixepoch')       AS last_report,
       strftime('%Y-%m-%dT%H:%M:%SZ', t.last_pipeline_run / 1000000, 'unixepoch') AS last_pipeline_run,
       strftime('%Y-%m-%dT%H:%M:%SZ', t.last_cron_check / 1000000, 'unixepoch') AS last_cron_check,
       word.max_age,
       t.reports
FROM current_state t
JOIN host o               ON o.id = t.host_id
JOIN drift_history newest ON newest.seq = t.newest_seq
JOIN content word         ON word.id = newest.content_id
LEFT JOIN drift_history d ON d.seq = t.deployment_seq
LEFT JOIN content deployment ON deployment.id = d.content_id
LEFT JOIN drift_history k ON k.seq = t.check_seq
LEFT JOIN content checked ON checked.id = k.content_id
LEFT JOIN drift_history f ON f.seq = t.files_seq
LEFT JOIN content files   ON files.id = f.content_id;
