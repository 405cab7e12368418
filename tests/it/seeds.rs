//! Random tests keep their failing seeds: `tests/proptest-regressions/FILE.txt` has those of
//! `tests/it/FILE.rs`, `proptest-regressions/` those of the unit tests. Kept ones are tried first, each time;
//! they belong into the repository.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestError, TestRunner};
use std::cell::Cell;
use std::path::Path;

/// A runner for the tests of a file, which is `file!()`. (By itself it would not know where to keep
/// seeds, and say nothing of it.)
pub fn runner(source: &'static str, cases: u32, shrinks: u32) -> TestRunner {
    let max_shrink_iters = shrinks;
    TestRunner::new(Config {
        cases,
        max_shrink_iters,
        source_file: Some(source),
        ..Config::default()
    })
}

#[test]
fn a_failing_seed_is_kept_and_tried_first() {
    let folder = tempfile::tempdir().unwrap();
    let tests = folder.path().join("it");
    std::fs::create_dir(&tests).unwrap();
    std::fs::write(tests.join("main.rs"), "").unwrap();
    let source = tests.join("planted.rs");
    std::fs::write(&source, "").unwrap();
    let source: &'static str = source.to_str().unwrap().to_owned().leak();
    // Of so many numbers nobody finds one twice by chance.
    let numbers = 0_u64..u64::MAX;
    let planted = Cell::new(0);
    let outcome = runner(source, 5, 0).run(&numbers, |number| {
        planted.set(number);
        Err(proptest::test_runner::TestCaseError::fail("planted"))
    });
    assert!(matches!(outcome, Err(TestError::Fail(..))));
    let kept = folder.path().join("proptest-regressions/planted.txt");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept.lines().any(|line| line.starts_with("cc ")), "{kept}");
    let mut tried = Vec::new();
    let again = std::cell::RefCell::new(&mut tried);
    let outcome = runner(source, 5, 0).run(&numbers, |number| {
        again.borrow_mut().push(number);
        Ok(())
    });
    assert!(outcome.is_ok());
    assert_eq!(tried.len(), 6, "the kept one, and the five that were asked for");
    assert_eq!(tried[0], planted.get());
    // Another file's seeds are its own.
    let fresh = numbers.new_tree(&mut runner(file!(), 1, 0)).unwrap().current();
    assert_ne!(fresh, planted.get());
}

/// A runner that is put together by hand keeps nothing.
#[test]
fn every_random_test_has_a_place_for_its_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let by_hand = [concat!("failure_persistence", ": None"), concat!("TestRunner", "::new(")];
    let (mut files, mut random) = (Vec::new(), 0);
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    for path in files.iter().filter(|path| !path.ends_with("tests/it/seeds.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        random += usize::from(text.contains("proptest"));
        for wrong in by_hand {
            assert!(!text.contains(wrong), "{}: use seeds::runner", path.display());
        }
    }
    assert!(random > 8, "{random}");
}
