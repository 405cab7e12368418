//! What commands print. Whatever of it others have written, it moves no cursor of a terminal: the
//! last net below the places that escape it where they quote it ([`crate::domain::shown`]).

use super::{CannotCheck, Failure, WrongArgument, WrongSetting, unless_reader_left};
use crate::domain::shown::shown_lines;
use std::io::{IsTerminal, Stdout, Write};

/// Prints a text for people.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    unless_reader_left(out.write_all(shown_lines(text).as_bytes()).and_then(|()| out.flush()))
}

/// Tells whoever sits there something beside the output.
pub fn aside(line: &str) {
    eprintln!("{}", shown_lines(line));
}

/// Tells why a command failed; answers the exit code: 1, or 2 for what was asked or set wrongly, and
/// what could not be checked.
pub fn failed(failure: &Failure) -> u8 {
    aside(&format!("gitops-status-server: {failure}"));
    let two = failure.is::<WrongArgument>()
        || failure.is::<WrongSetting>()
        || failure.is::<CannotCheck>();
    if two { 2 } else { 1 }
}

/// Standard output for data: byte for byte what it is, except on a terminal.
pub struct Data {
    out: Stdout,
    terminal: bool,
}

impl Data {
    /// Finds out where it goes.
    pub fn to_stdout() -> Self {
        let out = std::io::stdout();
        Self { terminal: out.is_terminal(), out }
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if self.terminal {
            return self.out.write_all(for_terminal(lines).as_bytes());
        }
        self.out.write_all(lines)
    }

    /// Writes what is still held back.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Whole lines of data as a terminal gets them.
pub fn for_terminal(lines: &[u8]) -> String {
    shown_lines(&String::from_utf8_lossy(lines).replace("\r\n", "\n")).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn data_moves_no_cursor() {
        assert_eq!(
            super::for_terminal(b"a,\x1b[2J\r\nb\r,\xff\n"),
            "a,\\u001b[2J\nb\\u000d,\u{fffd}\n"
        );
    }
}
