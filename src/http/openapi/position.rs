//! What the routes have in common whose answers show what is recorded: the header `Gitops-Position`,
//! the parameter `at_least`, and the answers of those who ask for too much.

use super::super::position::AT_LEAST;
use super::super::problem::Problem;
use super::super::route::Endpoint;
use super::security::{operation, response};
use serde_json::json;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::{HeaderBuilder, OpenApi, RefOr, Required};

/// As the document writes it.
const POSITION: &str = "Gitops-Position";

/// Writes it into the document.
pub fn fill_in(document: &mut OpenApi, endpoints: &[Endpoint]) {
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.has_position()) {
        let (route, methods) = endpoint.needs();
        let Some(item) = document.paths.paths.get_mut(route) else { continue };
        for (method, _) in methods {
            if let Some(operation) = operation(item, method) {
                describe(operation);
            }
        }
    }
}

fn describe(operation: &mut Operation) {
    let about = "Wait for the entry of this id, for 1 s at most, and answer with at least the history up \
                 to it: an `id` of a receipt, or the `Gitops-Position` of another answer";
    let parameter = ParameterBuilder::new().name(AT_LEAST).parameter_in(ParameterIn::Query);
    let parameter = parameter.required(Required::False).description(Some(about));
    // Swagger UI sends the example by itself: one that no server has to wait for.
    let parameter = parameter.schema(Some(u64::schema())).example(Some(json!(0)));
    operation.parameters.get_or_insert_default().push(parameter.build().into());
    let answers = &mut operation.responses.responses;
    for (status, answer) in answers.iter_mut() {
        let RefOr::T(answer) = answer else { continue };
        if status.starts_with('2') || status == "304" {
            let about = "The id of the newest entry that the answer knows; 0 if there is none";
            let header = HeaderBuilder::new().schema(Some(u64::schema())).description(Some(about));
            answer.headers.insert(POSITION.into(), header.build().into());
        }
    }
    let mut refusal = |status: &str, about: &str, problem: &Problem| {
        let whole = format!("{}{}", about[..1].to_ascii_uppercase(), &about[1..]);
        let refused = response(&whole, problem).build();
        if let Some(RefOr::T(known)) = answers.get_mut(status) {
            known.description = format!("{}; or {about}", known.description);
            for (media, content) in refused.content {
                known.content.entry(media).or_insert(content);
            }
        } else {
            answers.insert(status.into(), refused.into());
        }
    };
    let digits = "must be an entry's id";
    refusal("400", "`at_least` is no id", &Problem::invalid_parameter(AT_LEAST, digits));
    let late = "the entry that `at_least` names is not there after 1 s (`behind`)";
    refusal("503", late, &Problem::behind(4711, 4710));
}
