-- What is kept host by host follows the history a little behind.
--
-- An entry is settled when the tables that are kept by host have it: `host_entry`, `current_state`,
-- `segment` and `episode`. A host is settled whole: all of its entries up to `settled_seq`, none
-- behind. While the program runs, that takes a second or two; it settles what it is about to read
-- by host, and all of it before it ends.

-- The entries of every name, in the order of time. It is filled in runs, some entries of one host at
-- a time: an index of `drift_history` itself would have each report write a page of its own.
CREATE TABLE host_entry (
    host_id INTEGER NOT NULL REFERENCES host (id),
    time    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (host_id, time, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO host_entry SELECT host_id, time, seq FROM drift_history ORDER BY host_id, time, seq;
DROP INDEX history_by_host;

ALTER TABLE current_state ADD COLUMN settled_seq INTEGER NOT NULL DEFAULT 0;
UPDATE current_state SET settled_seq = (SELECT size FROM head);

-- Every entry up to here is settled; of those behind, the ones up to their host's `settled_seq`.
ALTER TABLE head ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
UPDATE head SET settled = size;
-- Rises whenever something is settled, so that another process notices.
ALTER TABLE head ADD COLUMN settlings INTEGER NOT NULL DEFAULT 0;
