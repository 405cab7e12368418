//! What each operation needs, out of the list of routes: its security, and the answers of those who do
//! not have it.

use super::super::access::{API_KEY, Needs};
use super::super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::super::route::Endpoint;
use super::problems::example_of;
use crate::domain::access::Scope;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, ContentBuilder, HeaderBuilder, OpenApi, Ref, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// The scheme of `Authorization: Bearer`.
const BEARER: &str = "token";
/// The scheme of `X-Api-Key`.
const KEY: &str = "api_key";

/// Writes it into the document.
pub fn fill_in(document: &mut OpenApi, endpoints: &[Endpoint]) {
    let components = document.components.get_or_insert_with(Components::new);
    let about = "An access token, if the server runs with TOKENS_FILE. The scope that an operation needs \
                 stands with it: report, read, metrics or admin.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let about = "The same, for clients that cannot send Authorization.";
    let key = ApiKey::Header(ApiKeyValue::with_description(API_KEY, about));
    components.add_security_scheme(KEY, SecurityScheme::ApiKey(key));
    for endpoint in endpoints {
        let (route, methods) = endpoint.needs();
        let Some(item) = document.paths.paths.get_mut(route) else { continue };
        for (method, needs) in methods {
            if let Some(operation) = operation(item, method) {
                secure(operation, *method != "GET", *needs);
            }
        }
    }
}

/// The operation of a method; `None` for HEAD, which is GET's.
pub fn operation<'i>(item: &'i mut PathItem, method: &str) -> Option<&'i mut Operation> {
    match method {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

fn secure(operation: &mut Operation, writes: bool, needs: Needs) {
    let Some(scope) = needs.scope() else {
        operation.security = Some(Vec::new());
        return;
    };
    let with = |scheme| SecurityRequirement::new(scheme, [scope.word()]);
    // Without TOKENS_FILE, or where the entry `anonymous` says so, none is needed.
    operation.security = Some(vec![with(BEARER), with(KEY), SecurityRequirement::default()]);
    let problem = Problem::unauthorized();
    let description =
        "There is no token, or it is unknown or expired; the body is the same for each";
    let header = HeaderBuilder::new().schema(Some(String::schema())).description(Some("Bearer"));
    let unknown = response(description, &problem).header("WWW-Authenticate", header.build());
    operation.responses.responses.insert("401".into(), unknown.build().into());
    let problem = Problem::lacks_scope("ci-rsyslog", scope);
    let mut description = match scope {
        Scope::Report => "The token does not have the scope, or is not for the group",
        _ => "The token does not have the scope",
    }
    .to_owned();
    if writes {
        description.push_str(". Or a browser sent it for a page of another site (`other-site`)");
    }
    let lacking = response(&description, &problem);
    operation.responses.responses.insert("403".into(), lacking.build().into());
}

/// An answer that is a problem, with this one as its example.
pub fn response(description: &str, problem: &Problem) -> ResponseBuilder {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).example(Some(example_of(problem)));
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content.build())
}
