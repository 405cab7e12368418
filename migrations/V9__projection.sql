-- One watermark for all that is projected, one value for a state, and hosts that are folded anew beside
-- the reports that come.
--
-- Everything up to `head.watermark` is projected: `host_entry`, `host_confirmation`, `current_state`,
-- `segment` and `episode` have it, or the host stands in `refold`. Of what lies behind, a host has the
-- entries up to its own `applied`. Who reads by host looks at both.
--
-- The program folds the history anew once after this, with a bar on a terminal.

DROP TRIGGER history_insert_next;               -- `head` grows only by what is next; triggers hold for us, too

ALTER TABLE head RENAME COLUMN settled TO watermark;
ALTER TABLE head DROP COLUMN settlings;
UPDATE head SET projected = 0, watermark = 0;

-- A host's folded state.
DROP VIEW status;
DROP TABLE current_state;
CREATE TABLE current_state (
    host_id INTEGER PRIMARY KEY REFERENCES host (id),
    applied INTEGER NOT NULL,                   -- the newest entry that is in it
    state   TEXT    NOT NULL                    -- JSON list, its first element the version of its form
) STRICT;

-- Entries of a name that speak neither of status nor of files, in the order of time. The others are in
-- `host_entry`: a walk back to what was in force looks at those alone.
CREATE TABLE host_confirmation (
    host_id INTEGER NOT NULL REFERENCES host (id),
    time    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (host_id, time, seq)
) STRICT, WITHOUT ROWID;

-- Hosts whose segments and episodes are folded anew, because an entry came that belongs before something
-- that was folded. What is written of them is right before `from_time`; what is behind counts for nobody.
CREATE TABLE refold (
    host_id   INTEGER PRIMARY KEY REFERENCES host (id),
    from_time INTEGER NOT NULL,
    last      INTEGER NOT NULL,                 -- the newest time of an entry that came out of order
    resumed   INTEGER NOT NULL,                 -- 1: `course` is the course before `from_time`
    course    TEXT    NOT NULL,                 -- else the course up to some time behind it; JSON list
    base      TEXT    NOT NULL                  -- the course without what came out of order; JSON list
) STRICT;

-- What came in one array: its first entry, and how many followed each other. An entry in none came alone.
CREATE TABLE array (
    first   INTEGER PRIMARY KEY,
    entries INTEGER NOT NULL
) STRICT;
CREATE TRIGGER array_no_update BEFORE UPDATE ON array BEGIN
    SELECT RAISE(ABORT, 'array is append-only');
END;
CREATE TRIGGER array_no_delete BEFORE DELETE ON array BEGIN
    SELECT RAISE(ABORT, 'array is append-only');
END;

-- Entries of kinds that concern no host have none. The column alone changes, not a row of the table: what is
-- written there looks the same with and without the constraint (sqlite.org/lang_altertable.html, 8).
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'host_id     INTEGER NOT NULL REFERENCES host (id),',
                                            'host_id     INTEGER REFERENCES host (id),')
    WHERE type = 'table' AND name = 'drift_history';
PRAGMA writable_schema = RESET;

-- For people.
CREATE VIEW status AS
SELECT o.server_group,
       o.host,
       CASE t.state->>3 WHEN 0 THEN 'synced' WHEN 1 THEN 'out_of_sync' WHEN 2 THEN 'failed'
                        WHEN 3 THEN 'unknown' END                               AS status,
       coalesce(files.changed_files, '[]')                                      AS changed_files,
       deployment.project_name,
       CASE WHEN t.state->>15 = t.state->>1 THEN o.server_group
            ELSE deployment.repo_name END                                       AS repo_name,
       deployment.server_type,
       deployment.environment,
       deployment.commit_sha,
       deployment.branch,
       deployment.updated_by,
       checked.commit_sha                                                       AS checked_commit_sha,
       (SELECT strftime('%Y-%m-%dT%H:%M:%SZ', h.time / 1000000, 'unixepoch')
          FROM drift_history h WHERE h.seq = t.state->>12)                      AS drift_since,
       strftime('%Y-%m-%dT%H:%M:%SZ', newest.time / 1000000, 'unixepoch')       AS last_report,
       strftime('%Y-%m-%dT%H:%M:%SZ', (t.state->>16) / 1000000, 'unixepoch')    AS last_pipeline_run,
       strftime('%Y-%m-%dT%H:%M:%SZ', (t.state->>17) / 1000000, 'unixepoch')    AS last_cron_check,
       word.max_age,
       t.state->>1                                                              AS reports
FROM current_state t
JOIN host o               ON o.id = t.host_id
JOIN drift_history newest ON newest.seq = t.state->>4
JOIN content word         ON word.id = newest.content_id
LEFT JOIN drift_history d ON d.seq = t.state->>5
LEFT JOIN content deployment ON deployment.id = d.content_id
LEFT JOIN drift_history k ON k.seq = t.state->>6
LEFT JOIN content checked ON checked.id = k.content_id
LEFT JOIN drift_history f ON f.seq = t.state->>9
LEFT JOIN content files   ON files.id = f.content_id
LEFT JOIN drift_history q ON q.seq = t.state->>13
WHERE q.seq IS NULL OR (q.time, q.seq) < (newest.time, newest.seq);
