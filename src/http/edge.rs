//! The outermost layer of the application: what holds for every request and every answer.
//!
//! A request is in hand until the last byte of its answer is out; its connection's deadlines depend
//! on that.

use super::connection::{InHand, Requests};
use super::unread;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use bytes::Bytes;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Takes every request in hand.
pub async fn edge(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let in_hand = request.conn_data::<Rc<Requests>>().map(InHand::new);
    let unread = unread::share(&mut request);
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, body| {
        BoxBody::new(Answer { body: body.boxed(), _unread: unread, _in_hand: in_hand })
    }))
}

/// An answer's body, and what is held until it is out.
struct Answer {
    body: BoxBody,
    _unread: Option<unread::Body>,
    _in_hand: Option<InHand>,
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(context)
    }
}
