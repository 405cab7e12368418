//! `GET /metrics` for Prometheus: what this process counts (`meters`), its access tokens
//! (`tokens`), every host (`hosts`), and the stacks of one pushed job under the names that its alert
//! rules know (`stacks`).

mod hosts;
mod meters;
mod stacks;
mod text;
mod tokens;

pub use meters::{Meters, Outcome};

use super::AppState;
use super::lanes::Lane;
use super::position::named;
use super::problem::{Problem, ProblemBody};
use super::respond::{self, accepts_gzip, compress};
use crate::recorder::ClockFault;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use text::Text;

/// The media type of text format 0.0.4, letter by letter: Prometheus 3 refuses what it does not know.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics for Prometheus
///
/// Text format 0.0.4: the state of every host, what was reported and refused since the start, how
/// long answers take, the size of the database; and the stacks of the job `PUSHGATEWAY_COMPAT_JOB` as
/// `drift_stack_*`. Computed from memory; a host that is retired is not in it.
#[utoipa::path(get, path = "/metrics", tag = "metrics", operation_id = "metrics",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain; version=0.0.4; charset=utf-8",
        example = "# HELP gitops_host_status Whether the host is in this status (1) or not (0); the newest word, however old.\n# TYPE gitops_host_status gauge\ngitops_host_status{server_group=\"rsyslog-prod\",host=\"rsyslog-01\",environment=\"prod\",status=\"synced\"} 1\n"),
        (status = 503, description = "Too many large answers are being made or sent at once", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn scrape(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (gzip, of) = (accepts_gzip(request.headers()), app.clone());
    let making = async move || {
        let (text, position) = write(&of);
        let body = if gzip { compress(text.as_bytes()) } else { text.into_bytes().into() };
        let share = of.lanes.flight.whole(body.len()).await?;
        Ok((body, share, position))
    };
    let (body, share, position) = app.lanes.work(Lane::Board, making).await?;
    let mut response = HttpResponse::Ok();
    response.content_type(TEXT_FORMAT).insert_header((header::VARY, "Accept-Encoding"));
    if gzip {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    let mut response = named(response.body(body), position);
    respond::hold(&mut response, share);
    Ok(response)
}

/// The metrics, and the newest entry that they know.
fn write(app: &AppState) -> (Text, u64) {
    let mut text = Text::default();
    app.meters.write(&mut text);
    let now = app.now();
    let (hosts, entries, last_run) = {
        let board = app.board.read();
        let job = app.rules.pushgateway_compat_job.as_str();
        let hosts: Vec<_> = board.present().cloned().collect();
        (hosts, board.size, board.last_runs.get(job).copied())
    };
    text.family("gitops_history_entries", "gauge", "Entries of the history.");
    text.value(entries as f64);
    text.family("gitops_database_size_bytes", "gauge", "Bytes of the database's files.");
    for (file, bytes) in app.readers.file_sizes() {
        text.sample(&[("file", file)], bytes as f64);
    }
    let help = "Whether reports are refused because the clock cannot be believed (1), by what is wrong with it.";
    text.family("gitops_clock_fault", "gauge", help);
    let fault = app.recorder.clock_fault().map(|fault| fault.word());
    for reason in ClockFault::WORDS {
        text.sample(&[("reason", reason)], f64::from(u8::from(fault == Some(reason))));
    }
    let help =
        "Bytes of answers that their clients have not taken yet, as far as they are counted.";
    text.family("gitops_answers_in_flight_bytes", "gauge", help);
    text.value(app.lanes.flight.bytes() as f64);
    tokens::write(&mut text, &app.rules.tokens);
    if let Some(free) = app.space.free() {
        let help = "Bytes that are free on the database's disk.";
        text.family("gitops_database_free_bytes", "gauge", help);
        text.value(free as f64);
    }
    hosts::write(&mut text, &hosts, now);
    stacks::write(&mut text, &hosts, &app.rules.pushgateway_compat_job, last_run, now);
    (text, entries)
}
