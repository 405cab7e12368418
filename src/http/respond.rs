//! Answers with a body: ETag (hash of the body), 304, gzip when asked for.

use super::flight::Share;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::{Arc, OnceLock};

/// Bodies below this many bytes are not worth compressing.
const GZIP_MIN_BYTES: usize = 512;

/// May be kept, and is asked for again each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// There is another form for those who ask for it.
const BY_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// JSON.
pub const JSON: &str = "application/json";

/// A body with its ETag, and its compressed form once somebody asked for it. Cheap to share.
#[derive(Debug)]
pub struct Prepared {
    body: Bytes,
    /// The hash, in hex.
    hash: String,
    etag: HeaderValue,
    /// The compressed form is another representation, so its tag is only a weak one.
    weak_etag: HeaderValue,
    gzip: OnceLock<Bytes>,
    /// Its room among what is in flight.
    share: Option<Arc<Share>>,
}

/// What a request says about the form of its answer, for whoever prepares one elsewhere.
#[derive(Debug)]
pub struct Wishes {
    gzip: bool,
    /// The header If-None-Match, as often as it was sent.
    known: Vec<String>,
}

impl Wishes {
    /// Reads the headers.
    pub fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let known = headers.get_all(header::IF_NONE_MATCH);
        let known = known.map(|value| value.to_str().unwrap_or_default().to_owned());
        Self { gzip: accepts_gzip(headers), known: known.collect() }
    }
}

impl Prepared {
    /// Hashes a body.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let hash = crate::domain::line::hex(&Sha256::digest(&body)[..16]);
        let tag = |weak| {
            let text = format!("{weak}\"{hash}\"");
            HeaderValue::try_from(text).expect("hex digits may stand in a header")
        };
        let (etag, weak_etag) = (tag(""), tag("W/"));
        Self { body, hash, etag, weak_etag, gzip: OnceLock::new(), share: None }
    }

    /// Makes the form that the request wants, so that the answer has only to be sent; tells how many
    /// bytes of body that will be.
    pub fn make_for(&self, wishes: &Wishes) -> usize {
        if wishes.known.iter().any(|value| self.is_among(value)) {
            0
        } else if wishes.gzip && self.body.len() >= GZIP_MIN_BYTES {
            self.gzip.get_or_init(|| compress(&self.body)).len()
        } else {
            self.body.len()
        }
    }

    /// Whether the form that the request wants is made.
    pub fn is_made(&self, wishes: &Wishes) -> bool {
        !wishes.gzip || self.body.len() < GZIP_MIN_BYTES || self.gzip.get().is_some()
    }

    /// Keeps its room in flight until it has been sent.
    #[must_use]
    pub fn holding(self, share: Option<Arc<Share>>) -> Self {
        Self { share, ..self }
    }

    /// Bytes of the body.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The answer to a request: the body, its gzip, or 304.
    pub fn answer(&self, request: &HttpRequest, content_type: &str) -> HttpResponse {
        let gzip = self.body.len() >= GZIP_MIN_BYTES && accepts_gzip(request.headers());
        let etag = if gzip { &self.weak_etag } else { &self.etag };
        if self.matches(request.headers()) {
            let mut unchanged = HttpResponse::NotModified();
            unchanged.insert_header((header::ETAG, etag.clone()));
            unchanged.insert_header((header::CACHE_CONTROL, ASK_AGAIN));
            return unchanged.insert_header((header::VARY, BY_ENCODING)).finish();
        }
        let mut response = HttpResponse::Ok();
        response
            .content_type(content_type)
            .insert_header((header::ETAG, etag.clone()))
            .insert_header((header::CACHE_CONTROL, ASK_AGAIN))
            .insert_header((header::VARY, BY_ENCODING));
        let mut response = if gzip {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
            response.body(self.gzip.get_or_init(|| compress(&self.body)).clone())
        } else {
            response.body(self.body.clone())
        };
        hold(&mut response, self.share.clone());
        response
    }

    /// `If-None-Match`, compared weakly (RFC 9110, 13.1.2).
    fn matches(&self, headers: &HeaderMap) -> bool {
        let mut known = headers.get_all(header::IF_NONE_MATCH);
        known.any(|value| self.is_among(value.to_str().unwrap_or_default()))
    }

    fn is_among(&self, tags: &str) -> bool {
        tags.split(',').any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == self.hash
        })
    }
}

/// Keeps room in flight until the answer has been sent; see `edge`.
pub fn hold(response: &mut HttpResponse, share: Option<Arc<Share>>) {
    if let Some(share) = share {
        response.extensions_mut().insert(share);
    }
}

/// Says that the same URL answers in other formats to another `Accept`.
pub fn varies_by_accept(mut response: HttpResponse) -> HttpResponse {
    let value = HeaderValue::from_static("Accept, Accept-Encoding");
    response.headers_mut().insert(header::VARY, value);
    response
}

/// Answers with a value as JSON.
pub fn json<T: serde::Serialize + ?Sized>(request: &HttpRequest, value: &T) -> HttpResponse {
    Prepared::new(json_body(value)).answer(request, JSON)
}

/// A value as JSON.
pub fn json_body<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("answers have only string keys")
}

/// Whether `Accept-Encoding` names gzip (a bare `*` is not asking for it).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).any(|value| {
        value.to_str().unwrap_or_default().split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            named && quality.is_none_or(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0))
        })
    })
}

/// A body, gzipped as fast as can be.
pub fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).expect("writing to memory");
    encoder.finish().expect("writing to memory").into()
}
