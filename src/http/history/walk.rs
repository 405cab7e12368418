//! A walk through everything that matches, written as CSV or NDJSON: in chunks, with the next page read
//! ahead, or in pieces of a size that is given each time. Between two of them it holds no connection and
//! no transaction: the history only grows behind its `as_of`.

use super::query::{Format, HistoryQuery};
use crate::domain::item::CsvItems;
use crate::domain::line::{Entry, LineWriter};
use crate::domain::place::Place;
use crate::views::{Page, PageRequest, ReadError, Readers, Width};
use std::sync::Arc;

/// Rows fetched and written in one go.
const CHUNK_ROWS: usize = 2000;
/// Bytes of a usual row, about.
const ROW_BYTES: usize = 900;
/// Bytes written in one go, about.
const CHUNK_BYTES: usize = 2 << 20;

/// A walk in progress.
pub struct Walk {
    readers: Arc<Readers>,
    query: HistoryQuery,
    origin: Arc<str>,
    format: Format,
    writer: Writer,
    /// The page being fetched while the last one is written out.
    ahead: Option<tokio::task::JoinHandle<Result<Page, ReadError>>>,
    /// Rows still wanted; `None` for all.
    wanted: Option<usize>,
    /// Rows written so far.
    pub rows: u64,
    /// Whether the first chunk, too, may take long.
    patient: bool,
    done: bool,
}

enum Writer {
    Csv { items: Box<CsvItems>, header_written: bool },
    Ndjson(Box<LineWriter>),
}

/// A piece of a walk.
pub enum Piece {
    /// Written, and the walk is behind it.
    Taken(Vec<u8>),
    /// It would have so many bytes, more than there may be.
    TooLarge(usize),
}

impl Walk {
    /// Begins a walk; `format` is CSV or NDJSON.
    pub fn new(
        readers: Arc<Readers>,
        query: HistoryQuery,
        format: Format,
        origin: Arc<str>,
    ) -> Self {
        let writer = Writer::new(format, &query, &origin);
        let wanted = query.limit;
        Self {
            readers,
            query,
            origin,
            format,
            writer,
            ahead: None,
            wanted,
            rows: 0,
            patient: false,
            done: false,
        }
    }

    /// Lets the first chunk take as long as the others: nobody waits for an answer to begin.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { patient: true, ..self }
    }

    /// The next piece, of about so many bytes; `None` at the end. What turns out larger than `most` is
    /// not taken: the walk stays where it is.
    pub async fn next_piece(
        &mut self,
        bytes: usize,
        most: usize,
    ) -> Result<Option<Piece>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let limit = (bytes / ROW_BYTES).clamp(1, CHUNK_ROWS);
        let limit = self.wanted.map_or(limit, |wanted| wanted.min(limit));
        let request = PageRequest { limit, ..self.query.request.clone() };
        let (density, patient) = (self.query.density, self.rows > 0);
        let page = self.readers.page(&request, density, bytes, Width::Wide, patient).await?;
        let page = page.within(bytes);
        // Between two pieces nothing of the entries is kept.
        let mut writer = Writer::new(self.format, &self.query, &self.origin);
        if self.rows > 0 {
            writer.go_on();
        }
        let written = writer.write(&page.entries, &self.origin);
        if written.len() > most {
            return Ok(Some(Piece::TooLarge(written.len())));
        }
        self.went(&page, limit);
        Ok(Some(Piece::Taken(written)))
    }

    /// The next bytes, or `None` at the end.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let entries = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.fetch(),
        };
        // A cancelled task: the server is going down.
        let page = entries.await.unwrap_or_else(|_| Err(ReadError::cancelled()))?;
        self.went(&page, self.query.request.limit);
        if !self.done {
            self.ahead = Some(self.fetch());
        }
        Ok(Some(self.writer.write(&page.entries, &self.origin)))
    }

    /// Goes on behind a page of which so many rows were asked.
    fn went(&mut self, page: &Page, asked: usize) {
        let Page { entries, cut } = page;
        if let Some(wanted) = &mut self.wanted {
            *wanted -= entries.len();
        }
        self.done = (entries.len() < asked && !cut) || self.wanted == Some(0);
        if let Some(last) = entries.last() {
            self.query.request.after = Some(Place { time: last.time, id: last.id });
        }
        self.rows += entries.len() as u64;
    }

    /// Begins to fetch the next page.
    fn fetch(&mut self) -> tokio::task::JoinHandle<Result<Page, ReadError>> {
        let limit = self.wanted.map_or(CHUNK_ROWS, |wanted| wanted.min(CHUNK_ROWS));
        self.query.request.limit = limit;
        let (readers, request) = (self.readers.clone(), self.query.request.clone());
        let density = self.query.density;
        let patient = self.patient || self.rows > 0;
        tokio::spawn(async move {
            readers.page(&request, density, CHUNK_BYTES, Width::Wide, patient).await
        })
    }
}

impl Writer {
    fn new(format: Format, query: &HistoryQuery, origin: &str) -> Self {
        match format {
            Format::Csv => {
                Self::Csv { items: Box::new(CsvItems::new(query.raw)), header_written: false }
            }
            Format::Json | Format::Ndjson => Self::Ndjson(Box::new(LineWriter::new(origin))),
        }
    }

    /// Goes on behind rows that are written.
    fn go_on(&mut self) {
        if let Self::Csv { header_written, .. } = self {
            *header_written = true;
        }
    }

    fn write(&mut self, entries: &[Entry], origin: &str) -> Vec<u8> {
        match self {
            Self::Csv { items, header_written } => {
                if !*header_written {
                    items.header();
                    *header_written = true;
                }
                for entry in entries {
                    items.entry(entry, origin);
                }
                items.take()
            }
            Self::Ndjson(writer) => {
                let mut lines = Vec::with_capacity(entries.len() * 900);
                for entry in entries {
                    writer.write(entry, &mut lines);
                    lines.push(b'\n');
                }
                lines
            }
        }
    }
}
