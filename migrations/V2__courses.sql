-- Timelines: what became of every host over time, folded from the history. Rebuildable, like
-- `current_state`: the program writes all of it anew where `head.projected` is behind.
--
-- Integers as in V1. A host that was renamed has its course under its newest name.

-- 0: the tables below are to be written anew from the history.
ALTER TABLE head ADD COLUMN projected INTEGER NOT NULL DEFAULT 0;

-- The rest of a host's course: its running segment and episode.
ALTER TABLE current_state ADD COLUMN retired_seq INTEGER;          -- the newest retirement
ALTER TABLE current_state ADD COLUMN segment_start INTEGER;        -- null while retired
ALTER TABLE current_state ADD COLUMN segment_reports INTEGER NOT NULL DEFAULT 0;
ALTER TABLE current_state ADD COLUMN segment_deployments INTEGER NOT NULL DEFAULT 0;
ALTER TABLE current_state ADD COLUMN episode_reports INTEGER NOT NULL DEFAULT 0;
ALTER TABLE current_state ADD COLUMN episode_drifted INTEGER NOT NULL DEFAULT 0; -- in ended segments

-- Names that fold into another host.
CREATE TABLE host_alias (
    host_id INTEGER PRIMARY KEY REFERENCES host (id),
    root_id INTEGER NOT NULL REFERENCES host (id)   -- the newest name, never itself an alias
) STRICT;
CREATE INDEX host_alias_by_root ON host_alias (root_id);

-- Sets of files as segments compare them: sorted distinct paths.
CREATE TABLE file_set (
    id     INTEGER PRIMARY KEY,
    digest TEXT    NOT NULL UNIQUE,             -- 32 hex digits
    paths  TEXT    NOT NULL                     -- JSON list
) STRICT;

-- Stretches of time that have ended. All reports of one lie on the UTC day of its start.
CREATE TABLE segment (
    host_id     INTEGER NOT NULL REFERENCES host (id),
    start       INTEGER NOT NULL,
    end         INTEGER NOT NULL,
    status      INTEGER NOT NULL,               -- in force, also during a silence
    silent      INTEGER NOT NULL,               -- 1: nobody's word was good
    file_set_id INTEGER REFERENCES file_set (id), -- null: no files
    reports     INTEGER NOT NULL,
    deployment_id INTEGER REFERENCES content (id), -- what the newest deployment said; null: none yet
    deployments INTEGER NOT NULL,               -- pipeline reports among the reports
    PRIMARY KEY (host_id, start)
) STRICT, WITHOUT ROWID;

-- Drifts, from `out_of_sync` to `synced` (or the retirement). While one is open, `reports`,
-- `drifted` and `last_drift` are those of its beginning; current_state has the newest.
CREATE TABLE episode (
    id            INTEGER PRIMARY KEY,          -- the entry that opened it
    host_id       INTEGER NOT NULL REFERENCES host (id),
    started_at    INTEGER NOT NULL,
    started_after INTEGER,                      -- the last `synced` report before
    ended_at      INTEGER,                      -- null: open
    closed_seq    INTEGER,                      -- the entry that ended it
    closed_by     INTEGER,                      -- its source; null: a retirement
    last_drift    INTEGER NOT NULL,             -- the last `out_of_sync` report
    reports       INTEGER NOT NULL,
    drifted       INTEGER NOT NULL,             -- microseconds of `out_of_sync`
    deployment_id INTEGER REFERENCES content (id) -- what was deployed when it ended
) STRICT;
CREATE INDEX episode_by_host ON episode (host_id, started_at);
CREATE INDEX episode_by_time ON episode (started_at);
CREATE INDEX episode_open ON episode (host_id) WHERE ended_at IS NULL;

-- The files seen during an episode, and the entry with which they were first.
CREATE TABLE episode_files (
    episode_id  INTEGER NOT NULL REFERENCES episode (id),
    file_set_id INTEGER NOT NULL REFERENCES file_set (id),
    seq         INTEGER NOT NULL,
    PRIMARY KEY (episode_id, file_set_id)
) STRICT, WITHOUT ROWID;

-- Rare entries that are looked for by themselves: acts of people.
CREATE INDEX history_acts ON drift_history (host_id, time) WHERE kind > 1;

-- Entries that did not come behind all others of their host. Whoever asks how things looked to
-- somebody who did not know them yet finds them here.
CREATE TABLE out_of_order (
    host_id INTEGER NOT NULL,                   -- the name it was sent with
    seq     INTEGER NOT NULL,
    PRIMARY KEY (host_id, seq)
) STRICT, WITHOUT ROWID;

-- For people.
DROP VIEW status;
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
LEFT JOIN content files   ON files.id = f.content_id
WHERE t.segment_start IS NOT NULL;

CREATE VIEW segments AS
SELECT o.server_group,
       o.host,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.start / 1000000, 'unixepoch')           AS start,
       strftime('%Y-%m-%dT%H:%M:%SZ', s.end / 1000000, 'unixepoch')             AS end,
       (s.end - s.start) / 1e6                                                  AS duration_seconds,
       CASE WHEN s.silent THEN 'not_measured' ELSE
       CASE s.status WHEN 0 THEN 'synced' WHEN 1 THEN 'out_of_sync' WHEN 2 THEN 'failed'
                     WHEN 3 THEN 'unknown' END END                              AS status,
       coalesce(f.paths, '[]')                                                  AS changed_files,
       s.reports
FROM segment s
JOIN host o ON o.id = s.host_id
LEFT JOIN file_set f ON f.id = s.file_set_id;

CREATE VIEW episodes AS
SELECT e.id,
       o.server_group,
       o.host,
       strftime('%Y-%m-%dT%H:%M:%SZ', e.started_at / 1000000, 'unixepoch')      AS started_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', e.ended_at / 1000000, 'unixepoch')        AS ended_at,
       (e.ended_at - e.started_at) / 1e6                                        AS duration_seconds,
       CASE WHEN e.ended_at IS NULL THEN NULL ELSE
       CASE e.closed_by WHEN 0 THEN 'pipeline' WHEN 1 THEN 'cron' WHEN 2 THEN 'legacy'
                        WHEN 3 THEN 'pushgateway' WHEN 4 THEN 'import'
                        ELSE 'retire' END END                                   AS closed_by,
       (SELECT json_group_array(DISTINCT p.value) FROM episode_files x
          JOIN file_set f ON f.id = x.file_set_id, json_each(f.paths) p
         WHERE x.episode_id = e.id)                                             AS changed_files
FROM episode e
JOIN host o ON o.id = e.host_id;
