//! `openapi`: prints the document.

use std::io::Write;

/// Prints the OpenAPI document, the same bytes as `/api-docs/openapi.json`.
pub fn run() -> Result<(), super::Failure> {
    super::unless_reader_left(std::io::stdout().write_all(crate::http::document().as_bytes()))
}
