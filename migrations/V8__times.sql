-- The index of times follows the history some hundred entries behind, and takes them in runs.
--
-- As an index of `drift_history` it was two of the six pages that a commit writes: entries come nearly in
-- its order, but SQLite shares the last leaf of an index out with its neighbours whenever it is full.

CREATE TABLE time_entry (
    time INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (time, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO time_entry SELECT time, seq FROM drift_history ORDER BY time, seq;
DROP INDEX history_by_time;

-- Every entry up to here is in `time_entry`, none behind.
ALTER TABLE head ADD COLUMN timed INTEGER NOT NULL DEFAULT 0;
UPDATE head SET timed = size;
