//! `POST /api/status`: the v1 object (contract section 5).

use super::fields::Fields;
use super::pipeline::{finish, warn_of_synced_with_files};
use crate::domain::content::Content;
use crate::domain::max_age::StaleAfter;
use crate::domain::report::{Report, Source, Status};

/// v1's words, in the order of [`V1_STATUSES`].
pub(super) const V1_WORDS: &[&str] = &["SYNCED", "OUT_OF_SYNC", "UNKNOWN"];
/// What v1's words mean.
pub(super) const V1_STATUSES: &[Status] = &[Status::Synced, Status::OutOfSync, Status::Unknown];

pub(super) fn parse(fields: &mut Fields, ages: &StaleAfter) -> Option<Report> {
    let key = fields.key("repo", "server");
    let content = v1_content(fields);
    let reported_at = fields.time("last_check");
    let run = fields.run();
    Some(finish(Source::Legacy, key?, reported_at, content, run, ages))
}

/// What the v1 object says, shared with imported v1 files.
pub(super) fn v1_content(fields: &mut Fields) -> Content {
    let max_age = fields.max_age();
    let content = Content {
        status: fields.required_word("sync_status", V1_WORDS, V1_STATUSES),
        changed_files: fields.files("files"),
        declared_count: fields.declared_count("drift_count"),
        max_age,
        max_age_sent: max_age.is_some(),
        labels: fields.labels(),
        ..Content::default()
    };
    warn_of_synced_with_files(fields, &content, "files");
    let named = content.files_count();
    if let Some(declared) = content.declared_count
        && declared as usize != named
    {
        let message = format!("is {declared}, but files names {named}; both were kept");
        fields.warn("drift_count", &message);
    }
    content
}
