//! Reading a request's body within its limits: declared as JSON, at most `MAX_BODY_BYTES`, within
//! ten seconds, and all bodies in flight together within 16 MiB, the first 64 KiB of each not counted.

use super::problem::Problem;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A body must be there after this time.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of all bodies in flight, beyond the first `FIRST_BYTES` of each.
pub const BODIES_MAX_BYTES: usize = 16 << 20;
/// Bytes of a body that draw on nothing shared: a small report goes through whatever else is being sent.
/// How many bodies there can be, the number of connections bounds.
const FIRST_BYTES: usize = 64 << 10;
/// Bytes read and thrown away before an early refusal, so that the client gets to read it.
const DRAIN_MAX_BYTES: usize = 4 << 20;

/// What all bodies in flight take together beyond their first bytes.
#[derive(Debug, Default)]
pub struct BodyBudget(AtomicUsize);

/// A body's share of the budget, given back on drop.
struct Share<'a> {
    budget: &'a BodyBudget,
    /// Bytes of the body.
    read: usize,
    /// Those of them that count.
    bytes: usize,
}

impl Share<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.read += bytes;
        let more = self.read.saturating_sub(FIRST_BYTES) - self.bytes;
        if more == 0 {
            return Ok(());
        }
        let taken = &self.budget.0;
        let fits = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= BODIES_MAX_BYTES);
        if taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(Problem::too_many_bodies());
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads the whole of a body that is declared as JSON.
pub async fn read_json(
    request: &HttpRequest,
    payload: &mut web::Payload,
    limit: usize,
    budget: &BodyBudget,
) -> Result<web::Bytes, Problem> {
    read(request, payload, limit, budget, check_declaration).await
}

/// Reads the whole of a body that `check` admits by its headers. An early refusal drains what still
/// comes, within bounds.
pub async fn read(
    request: &HttpRequest,
    payload: &mut web::Payload,
    limit: usize,
    budget: &BodyBudget,
    check: impl Fn(&HttpRequest) -> Result<(), Problem>,
) -> Result<web::Bytes, Problem> {
    let reading = async {
        check(request)?;
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(Problem::body_too_large(limit));
        }
        let mut share = Share { budget, read: 0, bytes: 0 };
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_BYTES));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::broken_body())?;
            if body.len() + chunk.len() > limit {
                return Err(Problem::body_too_large(limit));
            }
            share.grow(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let slow = |_| Err(Problem::slow_body(BODY_DEADLINE.as_secs()));
    let result = tokio::time::timeout(BODY_DEADLINE, reading).await.unwrap_or_else(slow);
    match result {
        Err(mut problem) if !problem.close => {
            problem.close = !drain(payload).await;
            Err(problem)
        }
        other => other,
    }
}

/// Throws away what still comes; answers whether the body was read to its end.
pub async fn drain(
    payload: &mut (impl Stream<Item = Result<Bytes, PayloadError>> + Unpin),
) -> bool {
    let draining = async {
        let mut drained = 0;
        while drained <= DRAIN_MAX_BYTES {
            match payload.next().await {
                Some(Ok(chunk)) => drained += chunk.len(),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    };
    tokio::time::timeout(BODY_DEADLINE, draining).await.unwrap_or(false)
}

fn check_declaration(request: &HttpRequest) -> Result<(), Problem> {
    let headers = request.headers();
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Problem::unsupported_media("Send the body without Content-Encoding"));
    }
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = declared.unwrap_or_default().split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = media == "application/json"
        || media == "text/json"
        || (media.starts_with("application/") && media.ends_with("+json"));
    if !json {
        return Err(Problem::unsupported_media("Send the header Content-Type: application/json"));
    }
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset {
        Some(name) if !matches!(name.to_ascii_lowercase().as_str(), "utf-8" | "utf8") => {
            Err(Problem::unsupported_media("Send the body in UTF-8"))
        }
        _ => Ok(()),
    }
}
