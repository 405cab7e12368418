//! Long lists of files, which memory has no room for: looked up for the answers that show them.

use super::AppState;
use super::problem::Problem;
use crate::domain::files::Files;
use crate::domain::state::HostState;

/// The files in force of a host whose list is in the database only.
pub async fn stored_files(app: &AppState, state: &HostState) -> Result<Option<Files>, Problem> {
    match state.stored_files() {
        Some(content) => Ok(Some(app.readers.files(content).await?)),
        None => Ok(None),
    }
}
