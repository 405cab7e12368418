//! The OpenAPI document, generated from the handlers, and Swagger UI on top of it.

pub mod answers;
mod position;
mod problems;
mod security;
pub mod shapes;
mod values;

use super::past::{annotations, episodes, reviews, timeline};
use super::problem::{FieldProblem, NearName, Problem, ProblemBody};
use super::respond::{JSON, Prepared};
use super::route::Endpoint;
use super::{dto, history, hosts, legacy, metrics, paths, proofs, push, reports, status, system};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use answers::{GroupSummary, Recorded, RecordedV1, Summary};
use shapes::{
    CronBody, CronReport, FileObject, HistoryItem, HistoryPage, PipelineBody, PipelineReport,
    ReportedFile, V1Body, V1Report, V1ReportedFile,
};
use std::sync::{Arc, OnceLock};
use utoipa::OpenApi;
use utoipa::openapi::path::HttpMethod;

use utoipa_swagger_ui::Config;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "gitops-status-server",
        description = "Records every drift report of CI pipelines and cron checks, and answers whether each machine still matches Git and what has happened since.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        system::index, system::health, system::ready,
        reports::pipeline, reports::cron, reports::legacy,
        status::all, status::of_group, status::of_host, status::summary, status::rejections,
        history::all, history::of_host,
        timeline::timeline, episodes::list, episodes::one, annotations::annotations,
        reviews::of_stretch, reviews::of_period,
        hosts::retire, hosts::alias,
        proofs::checkpoint, proofs::keys, proofs::inclusion, proofs::consistency,
        metrics::scrape, push::post, push::put, push::delete,
        legacy::current,
        serve, redirect_to_ui,
    ),
    components(schemas(
        ProblemBody<'_>, FieldProblem, NearName, dto::StatusRow<'_>, dto::V1Status<'_>,
        paths::V1File<'_>, dto::Counts, dto::RejectionRow, dto::Health, dto::Index<'_>,
        dto::ReportReceipt<'_>, HistoryPage, HistoryItem, PipelineReport, CronReport, V1Report,
        Recorded, RecordedV1, Summary, GroupSummary, episodes::EpisodeAnswer,
        ReportedFile, V1ReportedFile, FileObject, PipelineBody, CronBody, V1Body,
        timeline::TimelineItem<'_>, episodes::EpisodeItem<'_>, episodes::EpisodePage<'_>,
        annotations::Annotation, episodes::Superseded, reviews::Review, reviews::shapes::ReviewItem,
        reviews::shapes::ReviewTotals, hosts::ActAnswer<'_>, hosts::RetireBody, hosts::AliasBody,
        hosts::FormerName, proofs::InclusionProof<'_>, proofs::ConsistencyProof<'_>,
    )),
    tags(
        (name = "reports", description = "Pipelines and checks write"),
        (name = "status", description = "The current state of every server"),
        (name = "history", description = "Everything that was ever reported"),
        (name = "reviews", description = "What became of the servers over time"),
        (name = "trust", description = "Proofs that nobody edited the history"),
        (name = "hosts", description = "What people say about a server"),
        (name = "metrics", description = "What Prometheus scrapes, and what was pushed to a Pushgateway"),
        (name = "v1", description = "What v1 clients and dashboards know"),
        (name = "system", description = "The server itself"),
    ),
)]
struct Document;

/// Paths that are another name of a documented one: alias, original.
const ALIASES: [(&str, &str); 3] =
    [("/status.json", "/api/status"), ("/-/healthy", "/health"), ("/-/ready", "/ready")];

/// The text of the document, pretty-printed and with a line end. `endpoints` say what each path needs.
pub fn text(endpoints: &[Endpoint]) -> String {
    let mut document = Document::openapi();
    for (alias, original) in ALIASES {
        let operation = document.paths.get_path_operation(original, HttpMethod::Get);
        let mut operation = operation.expect("the original is documented").clone();
        let id = operation.operation_id.take().unwrap_or_default();
        operation.operation_id = Some(format!("{id}_alias"));
        operation.summary = operation.summary.map(|text| format!("{text} (alias)"));
        document.paths.add_path_operation(alias, vec![HttpMethod::Get], operation);
    }
    security::fill_in(&mut document, endpoints);
    position::fill_in(&mut document, endpoints);
    problems::fill_in(&mut document);
    values::fill_in(&mut document);
    let mut text = document.to_pretty_json().expect("the document has only string keys");
    text.push('\n');
    text
}

/// This document
///
/// OpenAPI 3.1, the same bytes as `openapi/openapi.json` in the repository.
#[utoipa::path(get, path = "/api-docs/openapi.json", tag = "system", operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI document", body = Object, example = json!({"openapi": "3.1.0"}))))]
pub fn serve(request: &HttpRequest, document: &'static str) -> HttpResponse {
    static BODY: OnceLock<Prepared> = OnceLock::new();
    BODY.get_or_init(|| Prepared::new(document)).answer(request, JSON)
}

/// To Swagger UI
///
/// Redirects to `/swagger-ui/`, where this document can be read and tried out, offline.
#[utoipa::path(get, path = "/swagger-ui", tag = "system", operation_id = "swagger_ui",
    responses((status = 308, description = "Go to /swagger-ui/")))]
pub async fn redirect_to_ui() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/swagger-ui/")).finish()
}

/// What Swagger UI may do in a browser: run its own files, and ask this server. Styles may also be
/// inline: it writes some into its page.
const UI_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// Swagger UI, from the binary: no network, no file.
pub async fn swagger_ui(request: HttpRequest) -> Result<HttpResponse, Problem> {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    let config = CONFIG
        .get_or_init(|| Arc::new(Config::from("/api-docs/openapi.json").try_it_out_enabled(true)));
    let file = request.match_info().query("file");
    match utoipa_swagger_ui::serve(file, config.clone()) {
        Ok(Some(file)) => {
            let file_type = file.content_type;
            let mut page = Prepared::new(file.bytes.into_owned()).answer(&request, &file_type);
            page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, UI_POLICY);
            Ok(page)
        }
        Ok(None) | Err(_) => Err(Problem::no_such_path()),
    }
}
