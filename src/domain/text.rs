//! What every text must be to be written down, wherever it comes from (a body, a path, a header), and
//! which of them may become a link.

/// Whether a text may be written down; the error says what it holds.
///
/// Bytes that are not UTF-8 and halves of surrogate pairs are no text in the first place. NUL is one, but
/// ends a text for many that read it: what stands behind it would be hidden from them.
pub fn check(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') { Err("holds the NUL character (\\u0000)") } else { Ok(()) }
}

/// Whether a text is an address that people may be led to: http or https, and nothing that a browser
/// would repair. All else (`javascript:`, a path) is shown as it is and never made a link.
pub fn is_web_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web && !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_are_web_addresses() {
        for text in
            ["https://ci.example.org/7", "HTTP://ci", "http://[::1]:8080/?a=b#c", "https://дом"]
        {
            assert!(is_web_address(text), "{text}");
        }
        for text in [
            "",
            "https://",
            "https:ci",
            "//ci",
            "/logout",
            "ci.example.org/7",
            "javascript:alert(1)",
            "javascript://ci/%0aalert(1)",
            "data:text/html,x",
            "ftp://ci",
            " https://ci",
            "https://a b",
            "https://a\njavascript:x",
            "https://a\0",
            "see https://ci",
        ] {
            assert!(!is_web_address(text), "{text:?}");
        }
    }
}
