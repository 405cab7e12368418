//! The log on standard error. A line of it is one line, whatever stands in its values, and says
//! nothing of what clients sent but names, times and numbers.

use crate::domain::shown::shown;
use std::any::Any;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;

/// Our own words at info; the libraries' only when something is wrong.
const DEFAULT: &str = "warn,gitops_status_server=info";
/// What actix calls an error is the nonsense of clients, and it quotes their headers.
const NEVER: &str = "actix_http=off";

/// Starts the log, as lines of text or of JSON; `directives` is RUST_LOG. An error says what of it
/// cannot be understood.
pub fn start(directives: Option<&str>, json: bool) -> Result<(), String> {
    let directives = match directives.map(str::trim) {
        None | Some("" | "info") => DEFAULT,
        Some(directives) => directives,
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("RUST_LOG: {error}"))?;
    let filter = filter.add_directive(NEVER.parse().expect("a directive"));
    let ansi = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi);
    // A log that nobody reads any more must not stop the server.
    let log = log.with_writer(move || Lines { ansi }).log_internal_errors(false);
    if json {
        log.json().flatten_event(true).init();
    } else {
        log.with_target(false).init();
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is logged with its place. Its message only if it was written by a programmer alone: one
/// that was put together may quote what a client sent.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, said = fixed_message(panic.payload()), "panicked");
}

fn fixed_message(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(a message with values in it)")
}

/// Standard error, one event at a time.
struct Lines {
    /// Whether colours are written, which begin with ESC. (ESC in a value is escaped before.)
    ansi: bool,
}

impl Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let plain = event.strip_suffix(b"\n").unwrap_or(event);
        if plain.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            io::stderr().write_all(event)?;
        } else {
            let line = one_line(&String::from_utf8_lossy(plain), self.ansi) + "\n";
            io::stderr().write_all(line.as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The text as one line; with `ansi` but for the colours, which are ours.
fn one_line(text: &str, ansi: bool) -> String {
    let mut parts = text.split('\u{1b}');
    let mut line = shown(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let colour = part.strip_prefix('[').and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            (ansi && rest[end..].starts_with('m')).then_some(())
        });
        line += if colour.is_some() { "\u{1b}" } else { "\\u001b" };
        line += &shown(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{fixed_message, one_line};

    #[test]
    fn an_event_is_one_line_and_reads_from_left_to_right() {
        for (text, line) in [
            ("plain, grün, 日本", "plain, grün, 日本"),
            ("a\nb\r\u{b}c\u{85}d\u{2028}e", "a\\u000ab\\u000d\\u000bc\\u0085d\\u2028e"),
            ("\u{202e}gnp.exe\u{2066}\u{200f}", "\\u202egnp.exe\\u2066\\u200f"),
            ("\u{1b}[31mred\u{7f}", "\\u001b[31mred\\u007f"),
        ] {
            assert_eq!(one_line(text, false), line);
        }
        assert_eq!(one_line("\u{1b}[31mred\n", true), "\u{1b}[31mred\\u000a");
        assert_eq!(one_line("\u{1b}[2K\u{1b}]0;x\u{1b}", true), "\\u001b[2K\\u001b]0;x\\u001b");
    }

    #[test]
    fn a_panic_quotes_no_values() {
        let secret = "hunter2";
        assert_eq!(fixed_message(&"a programmer's words"), "a programmer's words");
        let quoting = std::panic::catch_unwind(|| panic!("not a time: {secret}")).unwrap_err();
        assert!(!fixed_message(&*quoting).contains(secret));
    }
}
