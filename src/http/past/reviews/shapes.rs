//! What a review's items and sums look like, for the document only.

use serde::Serialize;
use utoipa::ToSchema;

/// An item of a review: the keys of what it is grouped by (`group_by=host` has two), then the sums.
#[derive(Serialize, ToSchema)]
pub struct ReviewItem {
    /// With group_by=server_group or host.
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
    /// With group_by=file.
    #[schema(example = "rsyslog.conf")]
    file: Option<String>,
    #[serde(flatten)]
    sums: ReviewTotals,
}

/// The sums of a review.
#[derive(Serialize, ToSchema)]
pub struct ReviewTotals {
    /// Hosts with a life in the period.
    #[schema(example = 12)]
    hosts: u64,
    /// Reports with a time in it.
    #[schema(example = 777_600)]
    reports: u64,
    /// Episodes that began in it.
    #[schema(example = 9)]
    episodes: u64,
    /// Episodes that were open at its end.
    #[schema(example = 1)]
    open_episodes: u64,
    #[schema(example = 94_000_000.5)]
    in_sync_seconds: f64,
    #[schema(example = 86_400)]
    drifted_seconds: f64,
    /// `failed`, `unknown`, or nobody spoke within `max_age`.
    #[schema(example = 3_600)]
    not_measured_seconds: f64,
    /// Of measured time; cut to 4 digits; null if nothing was measured.
    #[schema(required, example = 99.9081)]
    in_sync_percent: Option<f64>,
    /// Measured time of all time.
    #[schema(required, example = 99.9961)]
    coverage_percent: Option<f64>,
    /// Of the episodes that a report ended in it; null if none.
    #[schema(required, example = 4_210.25)]
    mean_time_to_repair_seconds: Option<f64>,
    /// As much of a drift as lies in it.
    #[schema(example = 40_000)]
    longest_drift_seconds: f64,
    /// The file that differed longest.
    #[schema(required, example = "rsyslog.conf")]
    most_drifted_file: Option<String>,
}
