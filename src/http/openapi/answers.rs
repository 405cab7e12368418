//! Answers that have one of two shapes, for the document only.

use crate::http::dto::{Counts, ReportAnswer, ReportsAnswer, StatusRow, V1Status};
use serde::Serialize;
use utoipa::ToSchema;

/// The answer to one report, or to an array.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum Recorded {
    One(Box<ReportAnswer<'static, StatusRow<'static>>>),
    Many(ReportsAnswer<'static, StatusRow<'static>>),
}

/// The answer to one v1 report, or to an array.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum RecordedV1 {
    One(ReportAnswer<'static, V1Status<'static>>),
    Many(ReportsAnswer<'static, V1Status<'static>>),
}

/// The counts of all servers, or by group.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum Summary {
    All(Counts),
    Groups(Vec<GroupSummary>),
}

/// The counts of one group; its key stands under the name of what was grouped by.
#[derive(Serialize, ToSchema)]
pub struct GroupSummary {
    /// With group_by=server_group.
    #[schema(example = "rsyslog-prod")]
    server_group: Option<String>,
    /// With group_by=host.
    #[schema(example = "rsyslog-01")]
    host: Option<String>,
    /// With group_by=environment.
    #[schema(example = "prod")]
    environment: Option<String>,
    /// With group_by=server_type.
    #[schema(example = "rsyslog")]
    server_type: Option<String>,
    /// With group_by=repo_name.
    #[schema(example = "rsyslog")]
    repo_name: Option<String>,
    /// With group_by=project_name.
    #[schema(example = "gitops-for-servers")]
    project_name: Option<String>,
    #[serde(flatten)]
    counts: Counts,
}
