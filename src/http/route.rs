//! One path with its methods: HEAD wherever GET is, one trailing slash tolerated, 405 with `Allow`
//! for every other method.

use super::AppState;
use super::problem::Problem;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{FromRequest, Handler, Resource, Responder, web};
use std::sync::Arc;
use std::time::Instant;

/// A path being described.
pub struct Endpoint {
    /// How `/metrics` calls the route: as the document does.
    route: String,
    /// The path, and the path with a trailing slash: two resources, because actix matches a single
    /// fixed path by comparing and a list of paths by regular expressions.
    resources: Vec<Resource>,
    methods: Vec<&'static str>,
}

/// Begins an endpoint.
pub fn at(path: &'static str) -> Endpoint {
    let mut resources = vec![web::resource(path)];
    if path != "/" && !path.ends_with(":.*}") && path != "/swagger-ui" {
        resources.push(web::resource(format!("{path}/")));
    }
    Endpoint { route: path.replace(":.*}", "}"), resources, methods: Vec::new() }
}

impl Endpoint {
    /// Takes GET and HEAD.
    #[expect(clippy::needless_pass_by_value, reason = "as actix takes handlers")]
    pub fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.extend(["GET", "HEAD"]);
        self.each(|resource| {
            let resource = resource.route(web::get().to(handler.clone()));
            resource.route(web::head().to(handler.clone()))
        })
    }

    /// Takes POST.
    pub fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::POST, "POST", handler)
    }

    /// Takes PUT.
    pub fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::PUT, "PUT", handler)
    }

    /// Takes DELETE.
    pub fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::DELETE, "DELETE", handler)
    }

    #[expect(clippy::needless_pass_by_value, reason = "as actix takes handlers")]
    fn method<F, Args>(mut self, method: Method, name: &'static str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(name);
        self.each(|resource| resource.route(web::method(method.clone()).to(handler.clone())))
    }

    fn each(mut self, change: impl Fn(Resource) -> Resource) -> Self {
        self.resources = self.resources.into_iter().map(change).collect();
        self
    }

    /// Puts it into the application.
    pub fn register(self, config: &mut web::ServiceConfig) {
        let allow = self.methods.join(", ");
        for resource in self.resources {
            let allow = allow.clone();
            let refuse = move || std::future::ready(refusal(&allow));
            let resource = resource.default_service(web::to(refuse));
            let route: Arc<str> = self.route.as_str().into();
            let timed = from_fn(move |request, next| timed(route.clone(), request, next));
            config.service(resource.wrap(timed));
        }
    }
}

/// Answers, and notes how long it took until the answer began.
pub async fn timed<B: MessageBody>(
    route: Arc<str>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let begun = Instant::now();
    let state = request.app_data::<web::Data<AppState>>().cloned();
    let method = request.method().clone();
    let answer = next.call(request).await?;
    if let Some(state) = state {
        state.meters.answered(&method, &route, answer.status(), begun.elapsed());
    }
    Ok(answer)
}

fn refusal(allow: &str) -> Result<&'static str, Problem> {
    Err(Problem::method_not_allowed(allow))
}
