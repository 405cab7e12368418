//! An example for every problem an operation can answer with, where it has none of its own.

use super::super::problem::{PROBLEM_JSON, Problem, TYPE_PREFIX};
use actix_web::ResponseError;
use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr};

/// Status, kind, title, detail.
const EXAMPLES: [(u16, &str, &str, &str); 8] = [
    (
        400,
        "invalid-parameters",
        "Some parameters are not valid",
        "limit: must be a whole number from 1 to 10000",
    ),
    (
        404,
        "unknown-host",
        "The host is not known",
        "There is no host \"rsyslog-1\" in group \"rsyslog-prod\"",
    ),
    (
        408,
        "slow-body",
        "The body came too slowly",
        "The body was not there after 10 s; nothing was stored",
    ),
    (
        409,
        "key-reused",
        "The Idempotency-Key was used with another body",
        "This Idempotency-Key came with another body within the last 7 days; nothing was stored. Use a new key for each new report",
    ),
    (
        413,
        "body-too-large",
        "The body is too large",
        "The body has more than 1048576 bytes; nothing was stored. Send fewer reports at once, or raise MAX_BODY_BYTES",
    ),
    (
        415,
        "unsupported-media",
        "The body has a type or encoding that is not taken",
        "Send the header Content-Type: application/json",
    ),
    (
        503,
        "unavailable",
        "The server cannot read its database",
        "The database cannot be read just now",
    ),
    (
        0,
        "unavailable",
        "The server takes no writes just now",
        "The database does not take writes; nothing was stored",
    ),
];

/// Fills in the examples.
pub fn fill_in(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (operation, writes) in [
            (&mut item.get, false),
            (&mut item.post, true),
            (&mut item.put, true),
            (&mut item.delete, true),
        ] {
            if let Some(operation) = operation {
                fill_in_operation(operation, writes);
            }
        }
    }
}

fn fill_in_operation(operation: &mut Operation, writes: bool) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let Some(RefOr::T(content)) = response.content.get_mut(PROBLEM_JSON) else { continue };
        if content.example.is_none() {
            content.example = status.parse().ok().and_then(|status| example(status, writes));
        }
    }
}

fn example(status: u16, writes: bool) -> Option<Value> {
    let wanted = if status == 503 && writes { 0 } else { status };
    let (_, kind, title, detail) = EXAMPLES.iter().find(|(known, ..)| *known == wanted)?;
    let mut problem = written(kind, title, status, detail);
    if let (400, Some((field, message))) = (status, detail.split_once(": ")) {
        problem["errors"] = json!([{"field": field, "message": message}]);
    }
    Some(problem)
}

/// A problem as an example.
pub fn example_of(problem: &Problem) -> Value {
    written(problem.kind(), problem.title(), problem.status_code().as_u16(), problem.detail())
}

fn written(kind: &str, title: &str, status: u16, detail: &str) -> Value {
    json!({
        "type": format!("{TYPE_PREFIX}{kind}"), "title": title, "status": status, "detail": detail,
        "instance": "urn:gitops-status-server:request:5f0c9a3e-2a",
    })
}
