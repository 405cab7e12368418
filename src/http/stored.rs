//! Long lists of files, which memory has no room for: looked up for the answers that show them.

use crate::domain::files::Files;
use crate::domain::state::HostState;
use crate::views::{ReadError, Readers};

/// The files in force of a host whose list is in the database only.
pub async fn stored_files(
    readers: &Readers,
    state: &HostState,
) -> Result<Option<Files>, ReadError> {
    match state.stored_files() {
        Some(content) => Ok(Some(readers.files(content).await?)),
        None => Ok(None),
    }
}
