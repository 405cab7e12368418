//! `POST /status/pipeline`: the whole deployment state of one server (contract section 3).

use super::fields::{Fields, MESSAGE_MAX_BYTES};
use crate::domain::content::Content;
use crate::domain::max_age::StaleAfter;
use crate::domain::names::HostKey;
use crate::domain::report::{Kind, Report, Source, Status};
use crate::domain::words::ValidationStatus;
use std::sync::Arc;

pub(super) fn parse(fields: &mut Fields, ages: &StaleAfter) -> Option<Report> {
    let key = fields.key("server_group", "host");
    let mut content = deployment_fields(fields);
    content.status = fields.required_word("status", Status::WORDS, Status::ALL);
    let reported_at = fields.time("last_pipeline_run");
    fields.ignore("last_cron_check", "belongs to cron reports and was ignored");
    let run = fields.run();
    warn_of_synced_with_files(fields, &content, "changed_files");
    Some(finish(Source::Pipeline, key?, reported_at, content, run, ages))
}

/// The fields of a deployment state, shared with imported files. Leaves `status` to the caller.
pub(super) fn deployment_fields(fields: &mut Fields) -> Content {
    let max_age = fields.max_age();
    Content {
        changed_files: fields.files("changed_files"),
        max_age,
        max_age_sent: max_age.is_some(),
        project_name: fields.text("project_name"),
        repo_name: fields.text("repo_name"),
        server_type: fields.text("server_type"),
        environment: fields.text("environment"),
        validation_status: fields.word(
            "validation_status",
            ValidationStatus::WORDS,
            ValidationStatus::ALL,
        ),
        validation_message: fields.cut_text("validation_message", MESSAGE_MAX_BYTES),
        commit_sha: fields.text("commit_sha"),
        branch: fields.text("branch"),
        updated_by: fields.text("updated_by"),
        labels: fields.labels(),
        ..Content::default()
    }
}

/// Contradictions are kept as sent, and named.
pub(super) fn warn_of_synced_with_files(fields: &mut Fields, content: &Content, field: &str) {
    let count = content.files_count();
    if content.status == Some(Status::Synced) && count > 0 {
        fields.warn(field, &format!("names {count} although the status is synced; kept as sent"));
    }
}

/// The last step of every parser: stamp what is missing, make it a report.
pub(super) fn finish(
    source: Source,
    key: HostKey,
    reported_at: Option<crate::domain::time::Timestamp>,
    mut content: Content,
    run: Option<Arc<crate::domain::report::Run>>,
    ages: &StaleAfter,
) -> Report {
    content.stamp_max_age(ages.seconds_for(&key.server_group));
    let digest = content.digest();
    let (kind, content) = (Kind::Report, Arc::new(content));
    let kept = content.kept(digest);
    Report { key, kind, source, reported_at, content, kept, digest, run }
}
