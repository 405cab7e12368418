//! No two files inside a room import each other in a circle, however long. Read are `use` lines and
//! paths in code; a name is followed through re-exports to the file that defines it, and is an import
//! where it is passed on too. The tests at the end of a file do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Circles that still stand: the files of each. The list is exact, so it can only shrink.
const STANDING: &[&[&str]] = &[];

/// One `use`: the path, and the name it gives here (none for a glob).
struct Use {
    path: Vec<String>,
    name: Option<String>,
}

/// A file, as far as imports go.
struct Module {
    file: String,
    /// From the crate's root: `["store", "writer"]`.
    at: Vec<String>,
    uses: Vec<Use>,
    /// Paths outside of `use` lines.
    paths: Vec<Vec<String>>,
}

/// Identifiers, `::` and single signs; comments and texts are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&sign) = chars.get(at) {
        let rest = &chars[at..];
        let word = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        let hashes = rest[word..].iter().take_while(|c| **c == '#').count();
        let raw = matches!(rest[..word], ['r'] | ['b', 'r']);
        at += if rest.starts_with(&['/', '/']) {
            rest.iter().take_while(|c| **c != '\n').count()
        } else if raw && rest.get(word + hashes) == Some(&'"') {
            let end: Vec<char> = format!("\"{}", "#".repeat(hashes)).chars().collect();
            let inside = &rest[word + hashes + 1..];
            let length = inside.windows(end.len()).position(|w| w == end).unwrap_or(inside.len());
            word + hashes + 1 + length + end.len()
        } else if sign == '"' {
            let mut length = 1;
            while rest.get(length).is_some_and(|c| *c != '"') {
                length += if rest[length] == '\\' { 2 } else { 1 };
            }
            length + 1
        } else if sign == '\'' && rest.get(1) == Some(&'\\') {
            3 + rest[3..].iter().take_while(|c| **c != '\'').count() + 1
        } else if sign == '\'' && rest.get(2) == Some(&'\'') {
            3
        } else if word > 0 {
            found.push(rest[..word].iter().collect());
            word
        } else if rest.starts_with(&[':', ':']) {
            found.push("::".to_owned());
            2
        } else {
            if !sign.is_whitespace() {
                found.push(sign.to_string());
            }
            1
        };
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Takes one tree of a `use` apart, from `at`; gives where it ends.
fn use_tree(tokens: &[String], mut at: usize, before: &[String], found: &mut Vec<Use>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens[at].as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens[at] == ",");
                }
                return at + 1;
            }
            "*" => {
                found.push(Use { path, name: None });
                return at + 1;
            }
            "as" => {
                let name = Some(tokens[at + 1].clone());
                found.push(Use { path, name });
                return at + 2;
            }
            // The end of a tree: `use a::{self}` names `a`.
            "," | "}" | ";" => {
                path.pop_if(|last| *last == "self");
                let name = path.last().cloned();
                found.push(Use { path, name });
                return at;
            }
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
}

impl Module {
    fn read(file: &str, text: &str) -> Self {
        let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
        let at = inside.split('/').filter(|name| *name != "mod" && *name != "lib");
        let at = at.map(str::to_owned).collect();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let tokens = tokens(code);
        let (mut uses, mut paths) = (Vec::new(), Vec::new());
        let mut next = 0;
        while next < tokens.len() {
            let before = &tokens[next.saturating_sub(2)..next];
            let last = before.last().map_or("", String::as_str);
            if tokens[next] == "use" && tokens[next + 1] != "<" {
                next = use_tree(&tokens, next + 1, &[], &mut uses);
            } else if is_name(&tokens[next]) {
                let mut path = vec![tokens[next].clone()];
                while let [colons, name, ..] = &tokens[next + 1..]
                    && colons == "::"
                    && is_name(name)
                {
                    path.push(name.clone());
                    next += 2;
                }
                // Neither a field nor a visibility (`pub(in crate::store)`) is an import.
                if !matches!(last, "." | "::") && !before.ends_with(&["(".into(), "in".into()]) {
                    paths.push(path);
                }
                next += 1;
            } else {
                next += 1;
            }
        }
        Self { file: file.to_owned(), at, uses, paths }
    }

    fn room(&self) -> Option<&String> {
        self.at.first()
    }
}

/// All that a file imports, and what that imports in turn.
fn reached<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, file: &'a str) -> BTreeSet<&'a str> {
    let (mut open, mut seen) = (vec![file], BTreeSet::new());
    while let Some(file) = open.pop() {
        open.extend(imports[file].iter().filter(|other| seen.insert(**other)));
    }
    seen
}

/// All files of the crate, found by where they are.
struct House(BTreeMap<Vec<String>, Module>);

impl House {
    fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter().map(|(file, text)| Module::read(file, text));
        Self(files.map(|module| (module.at.clone(), module)).collect())
    }

    fn child(&self, module: &Module, name: &str) -> Option<&Module> {
        let mut at = module.at.clone();
        at.push(name.to_owned());
        self.0.get(&at)
    }

    /// The files that a path written in `from` leads to: none for another crate's.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> BTreeSet<&str> {
        let mut at = from.at.as_slice();
        let mut rest = path;
        while let [first, behind @ ..] = rest {
            match first.as_str() {
                "crate" => at = &[],
                "self" => {}
                "super" => at = &at[..at.len().saturating_sub(1)],
                _ => break,
            }
            rest = behind;
        }
        let Some(module) = self.0.get(at) else { return BTreeSet::new() };
        let own = rest.len() < path.len();
        let known = |name: &String| {
            self.child(module, name).is_some()
                || module.uses.iter().any(|found| found.name.as_ref() == Some(name))
        };
        if !own && !rest.first().is_some_and(known) {
            return BTreeSet::new();
        }
        self.step(module, rest, own, depth)
    }

    /// The files that names inside a module lead to. `own`: whoever gets no further stays there.
    fn step(&self, at: &Module, names: &[String], own: bool, depth: usize) -> BTreeSet<&str> {
        let at = &self.0[&at.at];
        let mut found = BTreeSet::new();
        if let ([first, rest @ ..], true) = (names, depth < 16) {
            if let Some(child) = self.child(at, first) {
                found.extend(self.step(child, rest, true, depth + 1));
            }
            for import in at.uses.iter().filter(|found| found.name.as_ref() == Some(first)) {
                // `use serde` names a crate and not itself.
                if import.path.first() != Some(first) || import.path.len() > 1 {
                    let path = [&import.path, rest].concat();
                    found.extend(self.resolve(at, &path, depth + 1));
                }
            }
        }
        if found.is_empty() && own {
            found.insert(at.file.as_str());
        }
        found
    }

    /// Which files of its own room each file imports.
    fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let rooms: BTreeMap<_, _> = self.0.values().map(|m| (m.file.as_str(), m.room())).collect();
        let of_one = |module: &Module| {
            let used = module.uses.iter().map(|found| &found.path);
            let paths = module.paths.iter().filter(|path| path.len() > 1);
            let mut found = BTreeSet::new();
            for path in used.chain(paths) {
                found.extend(self.resolve(&self.0[&module.at], path, 0));
            }
            found.retain(|file| *file != module.file && rooms[file] == module.room());
            found
        };
        let modules = self.0.values().filter(|module| module.room().is_some());
        modules.map(|module| (module.file.as_str(), of_one(module))).collect()
    }
}

/// The files of each circle, in order.
fn circles<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (*file, reached(imports, file))).collect();
    let circle = |(file, others): (&&str, &BTreeSet<&'a str>)| {
        let with = others.iter().filter(|other| reached[*other].contains(file));
        with.copied().collect::<Vec<_>>()
    };
    reached.iter().map(circle).filter(|files| !files.is_empty()).collect()
}

/// The imports inside a circle, a line each.
fn told(imports: &BTreeMap<&str, BTreeSet<&str>>, circle: &[&str]) -> String {
    let line = |file: &&str| {
        let inside = imports[file].iter().filter(|other| circle.contains(other));
        format!("  {file} imports {}", inside.copied().collect::<Vec<_>>().join(", "))
    };
    circle.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_files_of_a_room_import_each_other_in_a_circle() {
    let files: Vec<(String, String)> = super::rust_files("src")
        .into_iter()
        .map(|path| (super::shown(&path), fs::read_to_string(&path).unwrap()))
        .filter(|(file, _)| file != "src/main.rs" && !file.ends_with("/tests.rs"))
        .collect();
    let house = House::new(files.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    let imports = house.imports();
    let count: usize = imports.values().map(BTreeSet::len).sum();
    assert!(count > 300, "the test no longer finds the imports: {count}");

    let circles = circles(&imports);
    let standing: BTreeSet<Vec<&str>> = STANDING.iter().map(|files| files.to_vec()).collect();
    let new: Vec<_> = circles.difference(&standing).map(|circle| told(&imports, circle)).collect();
    assert!(new.is_empty(), "{} circles that are not listed:\n{}", new.len(), new.join("\n\n"));
    let gone: Vec<_> = standing.difference(&circles).collect();
    assert!(gone.is_empty(), "listed as STANDING, but no longer so: {gone:#?}");
}

/// What is found in a house of these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let lib = [("src/lib.rs", "pub mod room; pub mod other;")];
    let house = House::new(lib.into_iter().chain(files.iter().copied()));
    let found = circles(&house.imports());
    found.iter().map(|files| files.iter().map(|file| (*file).to_owned()).collect()).collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for (a, b) in [
        ("use super::b::B;", "use super::a::A;"),
        ("use crate::room::b::B;", "use crate::room::{a::{self, A}};"),
        ("use super::B;", "use super::A as Other;"), // through the re-exports of the room
        ("use super::b::*;", "use super::{\n    a, // where A is\n};"),
        ("fn a() -> super::b::B { r#\"\"#; 'x' }", "fn b(_: &'static str) { crate::room::a::A }"),
        ("use super::b; fn a() { b::B }", "use crate as house; fn b() { house::room::a::A }"),
        ("use super::b::B;", "use super::c::C;"), // C is a re-export of A
        ("use super::b::B;", "fn b() { super::c::C::new() }"),
    ] {
        let room = "pub mod a; pub mod b; mod c; pub use a::A; pub(in crate::room) use b::{B};";
        let files = [
            ("src/room/mod.rs", room),
            ("src/room/a.rs", a),
            ("src/room/b.rs", b),
            ("src/room/c.rs", "pub use super::a::A as C;"),
        ];
        let found = circles_of(&files);
        assert_eq!(found, [["src/room/a.rs", "src/room/b.rs"]], "{a} with {b}");
    }
    let long = [
        ("src/room.rs", "mod a; mod b; struct R;"),
        ("src/room/a.rs", "mod deep; pub use deep::D; struct A;"),
        ("src/room/a/deep.rs", "use super::super::b::B; struct D;"),
        ("src/room/b.rs", "use super::R; struct B(super::a::D);"),
    ];
    let (deep, b) = ("src/room/a/deep.rs", "src/room/b.rs");
    assert_eq!(circles_of(&long), [[deep, b]]);
}

#[test]
fn what_is_no_circle_is_not_called_one() {
    let files = [
        ("src/room/mod.rs", "pub mod a; pub mod b; pub use a::A; pub use b::B;"),
        ("src/room/a.rs", "use serde; use super::b::B; pub(in crate::room) struct A(serde::X);"),
        // A comment, a text, a test and another room are no imports; nor is a name of one's own.
        (
            "src/room/b.rs",
            "// use super::a::A;\nconst B: &str = \"crate::room::a\"; fn a() { a::<B>() }\n#[cfg(test)]\nmod tests { use crate::room::a::A; }",
        ),
        ("src/other.rs", "use crate::room::a::A;"),
    ];
    assert_eq!(circles_of(&files), Vec::<Vec<String>>::new());
}
