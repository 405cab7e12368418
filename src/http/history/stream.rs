//! Everything that matches, piece by piece, as the client takes it.
//!
//! A piece is made when the one before it has gone out to the connection. What a stream may hold is its
//! window, which is counted (`flight`): a client that does not read costs the lowest one, a client that
//! reads gets wider ones.

use super::query::{Format, HistoryQuery};
use super::walk::{Piece, Walk};
use crate::http::AppState;
use crate::http::flight::Share;
use crate::http::lanes::Lane;
use crate::http::problem::Problem;
use crate::http::respond::accepts_gzip;
use crate::views::Width;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Bytes of the lowest window: a piece, written.
const WINDOW_BYTES: usize = 64 << 10;
/// Bytes of the widest one.
const WIDEST_BYTES: usize = 1 << 20;
/// What a window becomes if the client takes what is in it.
const WIDENING: usize = 4;
/// Bytes of the state of a compression.
const GZIP_BYTES: usize = 320 << 10;

const WIDE: Lane = Lane::Database(Width::Wide);

/// A stream in progress.
struct Streaming {
    app: web::Data<AppState>,
    making: Making,
    /// The first piece, until it is handed over.
    first: Option<Vec<u8>>,
    window: Window,
}

/// What makes the pieces; with its workers while one is made.
struct Making {
    walk: Walk,
    gzip: Option<Box<GzEncoder<Vec<u8>>>>,
    ended: bool,
}

/// The room that a stream has.
struct Window {
    bytes: usize,
    /// What makes it wider than the lowest, or a piece that is larger than it.
    more: Option<Share>,
    _lowest: Share,
    _gzip: Option<Share>,
}

/// The first piece is there before the answer begins, so that a question that is too wide is told so; a
/// later failure ends the stream without its last chunk, so that a client notices.
pub async fn answer(
    request: &HttpRequest,
    app: &web::Data<AppState>,
    query: HistoryQuery,
    format: Format,
) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    response
        .content_type(format.content_type())
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::VARY, "Accept, Accept-Encoding"))
        .insert_header((header::CONTENT_DISPOSITION, format.disposition()));
    let gzip = accepts_gzip(request.headers());
    if request.method() == Method::HEAD {
        if gzip {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
        }
        return Ok(response.streaming(futures_util::stream::empty::<Result<Bytes, Problem>>()));
    }
    let lowest = app.lanes.flight.stream(WINDOW_BYTES).await?;
    // Without room for it, the answer goes out as it is.
    let room = gzip.then(|| app.lanes.flight.wider(GZIP_BYTES)).flatten();
    let encoder = room.is_some().then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    if encoder.is_some() {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    let walk = Walk::new(app.readers.clone(), query, format, app.recorder.origin().clone());
    let making = Making { walk, gzip: encoder.map(Box::new), ended: false };
    let window = Window { bytes: WINDOW_BYTES, more: None, _lowest: lowest, _gzip: room };
    let streaming = Streaming { app: app.clone(), making, first: None, window };
    let Some((first, streaming)) = streaming.next(true).await? else {
        return Ok(response.streaming(futures_util::stream::empty::<Result<Bytes, Problem>>()));
    };
    let streaming = Streaming { first: Some(first), ..streaming };
    let pieces = futures_util::stream::unfold(Some(streaming), async |streaming| {
        let mut streaming = streaming?;
        if let Some(first) = streaming.first.take() {
            return Some((Ok(Bytes::from(first)), Some(streaming)));
        }
        streaming.widen();
        match streaming.next(false).await {
            Ok(Some((piece, streaming))) => Some((Ok(Bytes::from(piece)), Some(streaming))),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "an export broke off");
                Some((Err(error), None))
            }
        }
    });
    Ok(response.streaming(Box::pin(pieces)))
}

impl Streaming {
    /// Gives the room of the last piece back, which has gone out, and takes more if there is some.
    fn widen(&mut self) {
        self.window.more = None;
        let flight = &self.app.lanes.flight;
        let bytes = (self.window.bytes * WIDENING).min(WIDEST_BYTES);
        let wider = flight.wider(bytes - WINDOW_BYTES);
        self.window.bytes = if wider.is_some() { bytes } else { WINDOW_BYTES };
        self.window.more = wider;
    }

    /// The next piece within the window; room is waited for if a single row is larger than that.
    async fn next(self, is_first: bool) -> Result<Option<(Vec<u8>, Self)>, Problem> {
        let Self { app, mut making, first, mut window } = self;
        let mut most = window.bytes;
        loop {
            let bytes = window.bytes;
            let work = async move || {
                let made = making.piece(bytes, most).await;
                made.map(|made| (made, making))
            };
            let lanes = &app.lanes;
            let made = if is_first {
                lanes.work(WIDE, work).await?
            } else {
                lanes.work_further(WIDE, work).await?
            };
            making = made.1;
            match made.0 {
                None => return Ok(None),
                Some(Piece::Taken(piece)) => {
                    return Ok(Some((piece, Self { app, making, first, window })));
                }
                Some(Piece::TooLarge(bytes)) => {
                    window.more = Some(app.lanes.flight.piece(bytes).await?);
                    most = bytes;
                }
            }
        }
    }
}

impl Making {
    async fn piece(&mut self, bytes: usize, most: usize) -> Result<Option<Piece>, Problem> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let piece = match self.walk.next_piece(bytes, most).await? {
                Some(Piece::Taken(piece)) => Some(piece),
                Some(too_large) => return Ok(Some(too_large)),
                None => None,
            };
            self.ended = piece.is_none();
            let out = match (&mut self.gzip, piece) {
                (None, piece) => piece,
                (Some(gzip), Some(piece)) => {
                    gzip.write_all(&piece).and_then(|()| gzip.flush()).expect("writing to memory");
                    Some(std::mem::take(gzip.get_mut()))
                }
                (Some(gzip), None) => {
                    gzip.try_finish().expect("writing to memory");
                    Some(std::mem::take(gzip.get_mut()))
                }
            };
            // An empty piece says nothing.
            match out {
                Some(out) if out.is_empty() => {}
                Some(out) => return Ok(Some(Piece::Taken(out))),
                None => return Ok(None),
            }
        }
    }
}
