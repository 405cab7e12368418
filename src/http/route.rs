//! One path with its methods: HEAD wherever GET is, one trailing slash tolerated, 405 with `Allow`
//! for every other method.

use super::problem::Problem;
use actix_web::{FromRequest, Handler, Resource, Responder, web};

/// A path being described.
pub struct Endpoint {
    /// The path, and the path with a trailing slash: two resources, because actix matches a single
    /// fixed path by comparing and a list of paths by regular expressions.
    resources: Vec<Resource>,
    methods: Vec<&'static str>,
}

/// Begins an endpoint.
pub fn at(path: &str) -> Endpoint {
    let mut resources = vec![web::resource(path)];
    if path != "/" && !path.starts_with("/swagger-ui") {
        resources.push(web::resource(format!("{path}/")));
    }
    Endpoint { resources, methods: Vec::new() }
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
    #[expect(clippy::needless_pass_by_value, reason = "as actix takes handlers")]
    pub fn post<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push("POST");
        self.each(|resource| resource.route(web::post().to(handler.clone())))
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
            config.service(resource.default_service(web::to(refuse)));
        }
    }
}

fn refusal(allow: &str) -> Result<&'static str, Problem> {
    Err(Problem::method_not_allowed(allow))
}
