//! Request bodies that nobody read to their end.
//!
//! actix throws away the rest of a chunked body whose handler has answered, however long it is and
//! however slowly it comes, and keeps the connection for it. A body of announced length ends the
//! connection instead: within the disconnect deadline, so that the client still gets to read the
//! answer. Here chunked bodies are made to end in that way too: what is left of the body is held
//! until the answer is out, and actix closes a connection whose body somebody still holds.

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::middleware::Next;
use bytes::Bytes;
use futures_util::Stream;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

type Body = Rc<RefCell<Payload>>;

/// Ends the connection of a chunked body that was not read to its end.
pub async fn unread(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if !request.chunked().unwrap_or(false) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let body: Body = Rc::new(RefCell::new(request.take_payload()));
    request.set_payload(Payload::Stream { payload: Box::pin(Shared(Rc::clone(&body))) });
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, answer| BoxBody::new(Holding { answer: answer.boxed(), _body: body })))
}

/// The body as the handler reads it.
struct Shared(Body);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// An answer that holds the body of its request for as long as it is being sent.
struct Holding {
    answer: BoxBody,
    _body: Body,
}

impl MessageBody for Holding {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().answer).poll_next(context)
    }
}
