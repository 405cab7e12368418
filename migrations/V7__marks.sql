-- Kind, source, late and transition in one column: three bytes less for each row, and most rows have
-- nothing to say there at all. Under their own names they are computed, as `time` is.
--
-- The table is written anew, once, which takes as much room again while it lasts.

PRAGMA legacy_alter_table = ON;                 -- views and triggers go on naming `drift_history`
ALTER TABLE drift_history RENAME TO former_history;
PRAGMA legacy_alter_table = OFF;
DROP INDEX history_by_time;
DROP INDEX history_changes_by_host;
DROP INDEX history_changes_by_time;
DROP INDEX history_imports;
DROP INDEX history_ahead;
DROP INDEX history_acts;

CREATE TABLE drift_history (
    seq         INTEGER PRIMARY KEY,            -- the entry's id: 1, 2, 3 … without holes
    host_id     INTEGER NOT NULL REFERENCES host (id),
    received_at INTEGER NOT NULL,               -- when it came; never decreases with seq
    lag         INTEGER NOT NULL,               -- received_at - time
    ahead       INTEGER,                        -- reported_at - time; null if no time was sent
    content_id  INTEGER NOT NULL REFERENCES content (id),
    sender_id   INTEGER NOT NULL REFERENCES sender (id),
    run_id      INTEGER REFERENCES run (id),
    marks       INTEGER NOT NULL,               -- source (7: none) + 8 late + 16 transition + 64 kind
    hash8       INTEGER NOT NULL,               -- first 8 bytes of the leaf hash, big-endian
    time        INTEGER NOT NULL GENERATED ALWAYS AS (received_at - lag) VIRTUAL,
    reported_at INTEGER GENERATED ALWAYS AS (received_at - lag + ahead) VIRTUAL,
    source      INTEGER GENERATED ALWAYS AS (nullif(marks & 7, 7)) VIRTUAL,
    late        INTEGER GENERATED ALWAYS AS (marks >> 3 & 1) VIRTUAL,
    transition  INTEGER GENERATED ALWAYS AS (marks >> 4 & 3) VIRTUAL,
    kind        INTEGER GENERATED ALWAYS AS (marks >> 6) VIRTUAL
) STRICT;
INSERT INTO drift_history
    SELECT seq, host_id, received_at, lag, ahead, content_id, sender_id, run_id,
           coalesce(source, 7) + 8 * late + 16 * transition + 64 * kind, hash8
    FROM former_history ORDER BY seq;
DROP TABLE former_history;                      -- and its triggers

CREATE INDEX history_by_time ON drift_history (time);
-- The rare rows that are looked for by themselves:
CREATE INDEX history_changes_by_host ON drift_history (host_id, time) WHERE transition <> 0;
CREATE INDEX history_changes_by_time ON drift_history (time) WHERE transition <> 0;
CREATE INDEX history_acts ON drift_history (host_id, time) WHERE kind > 1;
CREATE INDEX history_imports ON drift_history (host_id) WHERE source = 4;
CREATE INDEX history_ahead ON drift_history (host_id, reported_at) WHERE ahead > 0;

CREATE TRIGGER history_insert_next BEFORE INSERT ON drift_history
WHEN NEW.seq IS NOT coalesce((SELECT max(seq) FROM drift_history), 0) + 1 BEGIN
    SELECT RAISE(ROLLBACK, 'drift_history takes only the next seq');
END;
CREATE TRIGGER history_no_update BEFORE UPDATE ON drift_history BEGIN
    SELECT RAISE(ABORT, 'drift_history is append-only');
END;
CREATE TRIGGER history_no_delete BEFORE DELETE ON drift_history
WHEN OLD.seq >= (SELECT prune_before FROM head) BEGIN
    SELECT RAISE(ABORT, 'drift_history is append-only');
END;
