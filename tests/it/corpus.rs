//! The corpus below `tests/corpus/`: inputs that once were, or easily could be, trouble. Each file's
//! name says what must come of it (`ok-…` taken, `bad-…` refused); all of them, and thousands of
//! damaged copies, must never make the parsers panic.

use gitops_status_server::domain::cursor::Cursor;
use gitops_status_server::domain::max_age::StaleAfter;
use gitops_status_server::domain::report::Source;
use gitops_status_server::domain::time::Timestamp;
use gitops_status_server::ingest::{parse_body, status_file};
use std::path::Path;

/// Every file of a folder: name, bytes.
fn corpus(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() >= 4, "the corpus of {folder} is gone");
    files
}

/// Copies with a byte changed, cut off, or doubled, the same ones at every run.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let positions = (0..bytes.len()).step_by(1 + bytes.len() / 400);
    positions.flat_map(move |at| {
        let swapped = [b'"', b'{', b'\\', 0, 0xff, b'9', b'-'].map(|byte| {
            let mut copy = bytes.to_vec();
            copy[at] = byte;
            copy
        });
        let cut = bytes[..at].to_vec();
        let doubled = [&bytes[..at], &bytes[at / 2..]].concat();
        swapped.into_iter().chain([cut, doubled])
    })
}

fn expected(name: &str) -> bool {
    match name.split('-').next() {
        Some("ok") => true,
        Some("bad") => false,
        _ => panic!("{name} says neither ok nor bad"),
    }
}

#[test]
fn bodies() {
    let ages = StaleAfter::parse("26h", "").unwrap();
    let parse = |source, bytes: &[u8]| parse_body(source, bytes, &ages).is_ok();
    for (name, bytes) in corpus("body") {
        let source = match name.split('-').nth(1) {
            Some("pipeline") => Source::Pipeline,
            Some("cron") => Source::Cron,
            _ => Source::Legacy,
        };
        assert_eq!(parse(source, &bytes), expected(&name), "{name}");
        for copy in damaged(&bytes) {
            parse(source, &copy);
            let _ = status_file::parse(&copy, &ages);
        }
    }
}

#[test]
fn times() {
    let now = Timestamp(1_777_161_600_000_000);
    for (name, bytes) in corpus("time") {
        let texts = String::from_utf8(bytes).unwrap();
        for text in texts.lines() {
            assert_eq!(Timestamp::parse(text).is_ok(), expected(&name), "{name}: {text:?}");
            for copy in damaged(text.as_bytes()) {
                let copy = String::from_utf8_lossy(&copy);
                let _ = Timestamp::parse(&copy);
                if let Ok(bound) = Timestamp::parse_bound(&copy, now) {
                    assert_eq!(Timestamp::parse(&bound.to_string()), Ok(bound), "{copy:?}");
                }
            }
        }
    }
}

#[test]
fn cursors() {
    for (name, bytes) in corpus("cursor") {
        let text = String::from_utf8(bytes).unwrap();
        let text = text.trim_end();
        assert_eq!(Cursor::decode(text).is_ok(), expected(&name), "{name}");
        for copy in damaged(text.as_bytes()) {
            let copy = String::from_utf8_lossy(&copy);
            assert!(copy == text || Cursor::decode(&copy).is_err(), "{copy:?}");
        }
    }
}
