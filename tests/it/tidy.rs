//! The house rules that a machine can check: arrows between rooms, sizes of files and functions,
//! and that nobody edits the history.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the inside out; each may use those before it. Rooms on one line do not know each other.
const ROOMS: &[&[&str]] = &[
    &["domain"],
    &["ingest", "files", "board"],
    &["ledger"],
    &["projection"],
    &["views"],
    &["recorder"],
    &["http"],
    &["config"],
    &["commands"],
];
/// Lines of a file, and of a function: a smell above, not a law; say so here, with the reason.
const FILE_LINES: usize = 420;
const FUNCTION_LINES: usize = 70;
/// Longer for a reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("src/domain/line.rs", "golden_lines_of_version_1"), // two whole lines, byte by byte
];

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    files
}

fn shown(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    path.strip_prefix(root).unwrap().display().to_string()
}

/// The room a file of `src/` lives in, with its rank.
fn room(path: &str) -> Option<(usize, String)> {
    let inside = path.strip_prefix("src/")?;
    let name = inside.split(['/', '.']).next()?.to_owned();
    let rank = ROOMS.iter().position(|rooms| rooms.contains(&name.as_str()))?;
    Some((rank, name))
}

#[test]
fn arrows_run_one_way() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in rust_files("src") {
        let name = shown(&path);
        let Some((rank, own)) = room(&name) else { continue };
        for line in fs::read_to_string(&path).unwrap().lines() {
            let code = line.split("//").next().unwrap_or_default();
            for (at, _) in code.match_indices("crate::") {
                let used = code[at + 7..].split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let used = used.unwrap_or_default();
                let Some(other) = ROOMS.iter().position(|rooms| rooms.contains(&used)) else {
                    continue;
                };
                checked += 1;
                if other > rank || (other == rank && used != own) {
                    wrong.push(format!("{name} uses {used}: {}", line.trim()));
                }
            }
        }
    }
    assert!(checked > 50, "the test no longer finds the uses");
    assert!(wrong.is_empty(), "arrows that run backwards:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_right_rooms_know_the_libraries() {
    for (library, rooms) in [
        ("actix_web", &["http", "commands", "main"][..]),
        ("actix_http", &["http"][..]),
        ("actix_server", &["http"][..]),
        ("socket2", &["http"][..]),
        ("rustix", &["files", "commands"][..]),
        ("sqlx", &["files", "ledger", "projection", "views"][..]),
        ("rusqlite", &["files", "ledger", "projection"][..]),
        ("refinery", &["files"][..]),
        ("std::env", &["main", "config"][..]),
    ] {
        for path in rust_files("src") {
            let name = shown(&path);
            let own = name.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
            let uses = fs::read_to_string(&path).unwrap();
            let uses = uses.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains(&format!("{library}::"))
            });
            assert!(!uses || rooms.contains(&own.as_str()), "{name} must not know {library}");
        }
    }
}

#[test]
fn files_and_functions_can_be_read_in_one_go() {
    let mut long = Vec::new();
    for path in rust_files("src").into_iter().chain(rust_files("tests")) {
        let name = shown(&path);
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > FILE_LINES {
            long.push(format!("{name} has {lines} lines"));
        }
        let mut open: Option<(String, usize, usize)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if let Some((function, start, own)) = &open {
                if indent == *own && line.trim() == "}" {
                    let length = number - start;
                    let known = LONG_FUNCTIONS.contains(&(name.as_str(), function.as_str()));
                    if length > FUNCTION_LINES && !known {
                        long.push(format!("{name}: {function} has {length} lines"));
                    }
                    open = None;
                }
            } else if let Some(at) = line.find("fn ")
                && line.trim_end().ends_with(['{', '('])
                && line[..at].chars().all(|c| c.is_alphabetic() || " ()_".contains(c))
            {
                let function = line[at + 3..].split(['(', '<']).next().unwrap_or_default();
                open = Some((function.to_owned(), number, indent));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// What others wrote passes one place on its way to a terminal: `domain::shown` below, `say` above.
#[test]
fn nothing_prints_past_the_place_that_escapes() {
    for path in rust_files("src") {
        let (name, text) = (shown(&path), fs::read_to_string(&path).unwrap());
        let may_print = name == "src/commands/say.rs";
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let prints = code.contains("println!(") && !may_print;
            assert!(!prints && !code.contains(".display()"), "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn no_statement_edits_the_history() {
    for path in rust_files("src") {
        let text = fs::read_to_string(&path).unwrap().to_uppercase();
        for table in ["DRIFT_HISTORY", "CONTENT", "HOST", "SENDER", "RUN"] {
            for statement in ["UPDATE", "DELETE FROM", "REPLACE INTO"] {
                let edit = format!("{statement} {table} ");
                assert!(!text.contains(&edit), "{} holds {edit:?}", shown(&path));
            }
        }
    }
}

#[test]
fn migrations_have_names_that_refinery_does_not_skip() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut versions = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let version = name.strip_prefix('V').and_then(|rest| rest.split_once("__"));
        let number = version.and_then(|(number, _)| number.parse::<u32>().ok());
        versions.push(number.unwrap_or_else(|| panic!("{name} would be skipped silently")));
    }
    versions.sort_unstable();
    let expected: Vec<u32> = (1..=versions.len() as u32).collect();
    assert_eq!(versions, expected, "versions follow one another");
}
