//! The access tokens: whether the file is in force, and when tokens expire. Nothing without a file.

use super::text::{Labels, Text};
use crate::http::tokens::Tokens;

/// Writes them.
pub fn write(text: &mut Text, tokens: &Tokens) {
    let Some(set) = tokens.in_force() else { return };
    text.family(
        "gitops_tokens_file_valid",
        "gauge",
        "Whether TOKENS_FILE as it is now is in force (1), or cannot be taken (0) and what it was before stays in force.",
    );
    text.value(f64::from(u8::from(tokens.are_current())));
    let expiring = || set.tokens.iter().filter_map(|token| Some((token, token.grant.expires?)));
    if expiring().next().is_none() {
        return;
    }
    text.family(
        "gitops_token_expiry_timestamp_seconds",
        "gauge",
        "When an access token expires, of those that do.",
    );
    for (token, expires) in expiring() {
        text.time(&Labels::new(&[("token", &*token.name)]), None, expires);
    }
}
