//! A walk through everything that matches, written as CSV or NDJSON in chunks. Between two chunks it
//! holds no connection and no transaction: a slow reader costs nothing, and the history only grows
//! behind its `as_of`.

use super::query::{Format, HistoryQuery};
use crate::domain::item::CsvItems;
use crate::domain::line::{Entry, LineWriter};
use crate::domain::place::Place;
use crate::views::{Page, ReadError, Readers};
use std::sync::Arc;

/// Rows fetched and written in one go.
const CHUNK_ROWS: usize = 2000;
/// Bytes written in one go, about.
const CHUNK_BYTES: usize = 2 << 20;

/// A walk in progress.
pub struct Walk {
    readers: Arc<Readers>,
    query: HistoryQuery,
    origin: Arc<str>,
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

impl Walk {
    /// Begins a walk; `format` is CSV or NDJSON.
    pub fn new(
        readers: Arc<Readers>,
        query: HistoryQuery,
        format: Format,
        origin: Arc<str>,
    ) -> Self {
        let writer = match format {
            Format::Csv => {
                Writer::Csv { items: Box::new(CsvItems::new(query.raw)), header_written: false }
            }
            Format::Json | Format::Ndjson => Writer::Ndjson(Box::new(LineWriter::new(&origin))),
        };
        let wanted = query.limit;
        Self {
            readers,
            query,
            origin,
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
        let Page { entries, cut } =
            entries.await.unwrap_or_else(|_| Err(ReadError::cancelled()))?;
        let asked = self.query.request.limit;
        if let Some(wanted) = &mut self.wanted {
            *wanted -= entries.len();
        }
        self.done = (entries.len() < asked && !cut) || self.wanted == Some(0);
        if let Some(last) = entries.last() {
            self.query.request.after = Some(Place { time: last.time, id: last.id });
        }
        if !self.done {
            self.ahead = Some(self.fetch());
        }
        self.rows += entries.len() as u64;
        Ok(Some(self.write(&entries)))
    }

    /// Begins to fetch the next page.
    fn fetch(&mut self) -> tokio::task::JoinHandle<Result<Page, ReadError>> {
        let limit = self.wanted.map_or(CHUNK_ROWS, |wanted| wanted.min(CHUNK_ROWS));
        self.query.request.limit = limit;
        let (readers, request) = (self.readers.clone(), self.query.request.clone());
        let density = self.query.density;
        let patient = self.patient || self.rows > 0;
        tokio::spawn(async move { readers.page(&request, density, CHUNK_BYTES, patient).await })
    }

    fn write(&mut self, entries: &[Entry]) -> Vec<u8> {
        match &mut self.writer {
            Writer::Csv { items, header_written } => {
                if !*header_written {
                    items.header();
                    *header_written = true;
                }
                for entry in entries {
                    items.entry(entry, &self.origin);
                }
                items.take()
            }
            Writer::Ndjson(writer) => {
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
