//! `POST /status/cron`: what a drift check saw (contract section 3). It changes drift fields only;
//! v2's other fields are ignored with a warning.

use super::fields::Fields;
use super::pipeline::{finish, warn_of_synced_with_files};
use crate::domain::content::Content;
use crate::domain::max_age::StaleAfter;
use crate::domain::report::{Report, Source, Status};

/// v2's fields that only a pipeline may set.
const PIPELINE_ONLY: &[&str] = &[
    "project_name",
    "repo_name",
    "server_type",
    "environment",
    "validation_status",
    "validation_message",
    "branch",
    "updated_by",
    "last_pipeline_run",
];

pub(super) fn parse(fields: &mut Fields, ages: &StaleAfter) -> Option<Report> {
    let key = fields.key("server_group", "host");
    let max_age = fields.max_age();
    let content = Content {
        status: fields.word("status", Status::WORDS, Status::ALL),
        changed_files: fields.files("changed_files"),
        max_age,
        max_age_sent: max_age.is_some(),
        commit_sha: fields.text("commit_sha"),
        labels: fields.labels(),
        ..Content::default()
    };
    let reported_at = fields.time("last_cron_check");
    let run = fields.run();
    for name in PIPELINE_ONLY {
        fields.ignore(name, "belongs to pipeline reports and was ignored");
    }
    warn_of_synced_with_files(fields, &content, "changed_files");
    Some(finish(Source::Cron, key?, reported_at, content, run, ages))
}
