//! One path with its methods, and what each of them needs: HEAD wherever GET is, one trailing slash
//! tolerated, 405 with `Allow` for every other method.

use super::AppState;
use super::access::{self, Needs};
use super::overload::Overload;
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
    methods: Vec<(&'static str, Needs)>,
    shows_history: bool,
}

/// Begins an endpoint.
pub fn at(path: &'static str) -> Endpoint {
    let mut resources = vec![web::resource(path)];
    if path != "/" && !path.ends_with(":.*}") && path != "/swagger-ui" {
        resources.push(web::resource(format!("{path}/")));
    }
    let route = path.replace(":.*}", "}");
    Endpoint { route, resources, methods: Vec::new(), shows_history: false }
}

impl Endpoint {
    /// Its answers show what is recorded: they carry `Gitops-Position`, and `at_least` is taken.
    pub fn shows_history(self) -> Self {
        Self { shows_history: true, ..self }
    }

    /// Takes GET and HEAD.
    #[expect(clippy::needless_pass_by_value, reason = "as actix takes handlers")]
    pub fn get<F, Args>(mut self, needs: Needs, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.extend([("GET", needs), ("HEAD", needs)]);
        self.each(|resource| {
            let resource = resource.route(web::get().to(handler.clone()));
            resource.route(web::head().to(handler.clone()))
        })
    }

    /// Takes POST.
    pub fn post<F, Args>(self, needs: Needs, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method((Method::POST, "POST"), needs, handler)
    }

    /// Takes PUT.
    pub fn put<F, Args>(self, needs: Needs, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method((Method::PUT, "PUT"), needs, handler)
    }

    /// Takes DELETE.
    pub fn delete<F, Args>(self, needs: Needs, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method((Method::DELETE, "DELETE"), needs, handler)
    }

    #[expect(clippy::needless_pass_by_value, reason = "as actix takes handlers")]
    fn method<F, Args>(
        mut self,
        (method, name): (Method, &'static str),
        needs: Needs,
        handler: F,
    ) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push((name, needs));
        self.each(|resource| resource.route(web::method(method.clone()).to(handler.clone())))
    }

    fn each(mut self, change: impl Fn(Resource) -> Resource) -> Self {
        self.resources = self.resources.into_iter().map(change).collect();
        self
    }

    /// The route, and what its methods need.
    pub fn needs(&self) -> (&str, &[(&'static str, Needs)]) {
        (&self.route, &self.methods)
    }

    /// Whether its answers carry `Gitops-Position`.
    pub fn has_position(&self) -> bool {
        self.shows_history
    }

    /// Puts it into the application.
    pub fn register(self, config: &mut web::ServiceConfig) {
        let names: Vec<&str> = self.methods.iter().map(|(name, _)| *name).collect();
        let allow = names.join(", ");
        let needs: Arc<[_]> = self.methods.into();
        for resource in self.resources {
            let allow = allow.clone();
            let refuse = move || std::future::ready(refusal(&allow));
            let resource = resource.default_service(web::to(refuse));
            let route: Arc<str> = self.route.as_str().into();
            let timed = from_fn(move |request, next| timed(route.clone(), request, next));
            let (needs, shows) = (needs.clone(), self.shows_history);
            let admitted =
                from_fn(move |request, next| access::admitted(needs.clone(), shows, request, next));
            config.service(resource.wrap(admitted).wrap(timed));
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
        if let Some(overload) = answer.response().extensions().get::<Overload>() {
            state.meters.overloaded(*overload);
        }
    }
    Ok(answer)
}

fn refusal(allow: &str) -> Result<&'static str, Problem> {
    Err(Problem::method_not_allowed(allow))
}
