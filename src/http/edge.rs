//! The outermost layer of the application: what holds for every request and every answer.
//!
//! A request is in hand until the last byte of its answer is out; its connection's deadlines depend
//! on that. And every answer says what a browser may make of it: nothing.

use super::connection::{InHand, Requests};
use super::flight::Share;
use super::unread;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use bytes::Bytes;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What every answer says. An answer is data: no browser shall run, frame or guess at it. (Without any
/// referrer, browsers would also hide the `Origin` of our own pages.)
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
];
/// Where an answer does not say more itself, as Swagger UI's pages do.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Where an answer does not say itself how it may be kept.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// Bytes of a body handed over at once: actix copies them into a buffer of the connection, where they
/// stay until the client takes them.
const PIECE_BYTES: usize = 16 << 10;

/// Takes every request in hand, and completes every answer.
pub async fn edge(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let in_hand = request.conn_data::<Rc<Requests>>().map(InHand::new);
    let unread = unread::share(&mut request);
    let mut answer = next.call(request).await?;
    complete(answer.headers_mut());
    let share = answer.response_mut().extensions_mut().remove::<Arc<Share>>();
    Ok(answer.map_body(|_, body| {
        let (body, rest) = (body.boxed(), Bytes::new());
        BoxBody::new(Answer { body, rest, _share: share, _unread: unread, _in_hand: in_hand })
    }))
}

fn complete(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, NOT_KEPT);
    }
}

/// An answer's body, and what is held until it is out.
struct Answer {
    body: BoxBody,
    /// What of the body's newest bytes has not been handed over.
    rest: Bytes,
    _share: Option<Arc<Share>>,
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
        let this = self.get_mut();
        // An empty piece would be the end of a chunked body.
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_next(context)) {
                Some(Ok(bytes)) => this.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(this.rest.split_to(piece))))
    }
}
