//! Files that commands read. What a setting names is a plain file (or a link to one: so secrets are
//! mounted); what stands on the command line may be a pipe as well: `<(…)`. Nothing else is opened: a
//! pipe without a writer is waited for, and a device may have no end. No more is read than such a file
//! can hold.

use std::fs::{File, FileType};
use std::io::{BufRead, Error, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of keys and of a checkpoint.
pub const NOTE_MOST: u64 = 1 << 20;
/// Bytes of a status file.
pub const STATUS_FILE_MOST: u64 = 256 << 20;
/// Bytes of a manifest: some 90 for each gap of its export.
pub const MANIFEST_MOST: u64 = 1 << 30;
/// Bytes of one line of an export or a log. (Bodies have 16 MiB at most.)
pub const LINE_MOST: u64 = 256 << 20;

/// Reads a file that a setting names.
pub fn read_set(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    check(std::fs::metadata(path)?.file_type(), false)?;
    // Should it have become a pipe since, it is not waited for.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(nonblock).open(path)?;
    check(file.metadata()?.file_type(), false)?;
    read(file, most)
}

/// The same as text.
pub fn read_set_text(path: &Path, most: u64) -> std::io::Result<String> {
    as_text(read_set(path, most)?)
}

/// Opens a file of the command line.
pub fn open_given(path: &Path) -> std::io::Result<File> {
    check(std::fs::metadata(path)?.file_type(), true)?;
    File::open(path)
}

/// Reads a file of the command line.
pub fn read_given(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    read(open_given(path)?, most)
}

/// The same as text.
pub fn read_given_text(path: &Path, most: u64) -> std::io::Result<String> {
    as_text(read_given(path, most)?)
}

fn check(found: FileType, pipe_too: bool) -> std::io::Result<()> {
    if found.is_file() || (pipe_too && found.is_fifo()) {
        return Ok(());
    }
    let what = what_it_is(found);
    Err(Error::new(ErrorKind::InvalidInput, format!("is {what}, and not a file")))
}

/// A word for what is no plain file.
pub fn what_it_is(found: FileType) -> &'static str {
    match found {
        found if found.is_dir() => "a folder",
        found if found.is_fifo() => "a pipe",
        found if found.is_socket() => "a socket",
        _ => "a device",
    }
}

fn read(file: File, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("has more than {most} bytes, which such a file never has");
        return Err(Error::new(ErrorKind::InvalidData, what));
    }
    Ok(bytes)
}

fn as_text(bytes: Vec<u8>) -> std::io::Result<String> {
    let text = String::from_utf8(bytes);
    text.map_err(|_| Error::new(ErrorKind::InvalidData, "is not text (UTF-8)"))
}

/// Reads one line with its end into `line`, which is emptied before; `false` at the end of all.
pub fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let read = from.by_ref().take(LINE_MOST + 1).read_until(b'\n', line)?;
    if read as u64 > LINE_MOST {
        let what = format!("has a line of more than {LINE_MOST} bytes");
        return Err(Error::new(ErrorKind::InvalidData, what));
    }
    Ok(read > 0)
}
