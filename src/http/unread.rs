//! Request bodies that nobody read to their end.
//!
//! actix throws away the rest of a chunked body whose handler has answered, however long it is and
//! however slowly it comes, and keeps the connection for it. A body of announced length ends the
//! connection instead: within the disconnect deadline, so that the client still gets to read the
//! answer. Here chunked bodies are made to end in that way too: what is left of the body is held
//! until the answer is out, and actix closes a connection whose body somebody still holds.

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What is left of a body.
pub type Body = Rc<RefCell<Payload>>;

/// A chunked body, to be held until the answer is out; the handler reads it as before.
pub fn share(request: &mut ServiceRequest) -> Option<Body> {
    if !request.chunked().unwrap_or(false) {
        return None;
    }
    let body: Body = Rc::new(RefCell::new(request.take_payload()));
    request.set_payload(Payload::Stream { payload: Box::pin(Shared(Rc::clone(&body))) });
    Some(body)
}

/// The body as the handler reads it.
struct Shared(Body);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}
