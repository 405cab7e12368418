-- What the Pushgateway drop-in and `/metrics` need beside the history.

-- The newest report of each source, for `gitops_host_last_report_timestamp_seconds`.
ALTER TABLE current_state ADD COLUMN last_pipeline INTEGER;
ALTER TABLE current_state ADD COLUMN last_cron INTEGER;
ALTER TABLE current_state ADD COLUMN last_legacy INTEGER;
ALTER TABLE current_state ADD COLUMN last_pushgateway INTEGER;
ALTER TABLE current_state ADD COLUMN last_import INTEGER;

-- Each full grouping key of the push API: the job, and the labels behind it in the path.
CREATE TABLE push_grouping (
    id        INTEGER PRIMARY KEY,
    job       TEXT    NOT NULL,                 -- the hosts' server_group
    labels    TEXT    NOT NULL,                 -- canonical JSON object; '{}' for the job alone
    pushed_at INTEGER NOT NULL,                 -- time of the newest push that held a stack's state
    UNIQUE (job, labels)
) STRICT;

-- The hosts (stacks) that its newest push held: one that the next push leaves out is gone.
CREATE TABLE push_member (
    grouping_id INTEGER NOT NULL REFERENCES push_grouping (id),
    host_id     INTEGER NOT NULL REFERENCES host (id),   -- the name it was pushed with
    PRIMARY KEY (grouping_id, host_id)
) STRICT, WITHOUT ROWID;
