//! One path with its methods: HEAD wherever GET is, one trailing slash tolerated, 405 with `Allow`
//! for every other method.

use super::problem::Problem;
use actix_web::{FromRequest, Handler, Resource, Responder, web};

/// A path being described.
pub struct Endpoint {
    resource: Resource,
    methods: Vec<&'static str>,
}

/// Begins an endpoint.
pub fn at(path: &str) -> Endpoint {
    let paths = if path == "/" || path.starts_with("/swagger-ui") {
        vec![path.to_owned()]
    } else {
        vec![path.to_owned(), format!("{path}/")]
    };
    Endpoint { resource: web::resource(paths), methods: Vec::new() }
}

impl Endpoint {
    /// Takes GET and HEAD.
    pub fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.extend(["GET", "HEAD"]);
        self.resource = self.resource.route(web::get().to(handler.clone()));
        self.resource = self.resource.route(web::head().to(handler));
        self
    }

    /// Takes POST.
    pub fn post<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push("POST");
        self.resource = self.resource.route(web::post().to(handler));
        self
    }

    /// Puts it into the application.
    pub fn register(self, config: &mut web::ServiceConfig) {
        let allow = self.methods.join(", ");
        let refuse = move || std::future::ready(refusal(&allow));
        config.service(self.resource.default_service(web::to(refuse)));
    }
}

fn refusal(allow: &str) -> Result<&'static str, Problem> {
    Err(Problem::method_not_allowed(allow))
}
