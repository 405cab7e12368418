//! Bytes on disk of a repeated report, everything included.

use crate::peers::sqlite::Pages;
use crate::support::book::{Book, Line, Plot, Target};
use crate::support::data::{self, HOSTS};
use crate::support::plan::{Plan, power};

pub fn run(plan: &Plan) {
    let reports = plan.middle;
    let title = format!("bytes per repeated report, {} reports of 1,000 hosts", power(reports));
    let mut book = Book::new("size", title);
    let folder = data::scratch();
    let path = folder.path().join("size.db");
    // One report per host first, so that only repetition is counted.
    data::fill_repeating(&path, HOSTS);
    let bytes = || -> u64 {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let before = bytes();
    let base = Pages::open(&path).bytes();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    data::fill_repeating(&path, HOSTS + reports);
    let each = (bytes() - before) as f64 / reports as f64;
    let label = "bytes per repeated report, leaf-hash bytes included";
    book.verdict(label, "", "bytes", &[each], Target::at_most(80.0));
    let mut lines = Vec::new();
    for (name, size) in Pages::open(&path).bytes() {
        let was = base.iter().find(|(other, _)| *other == name).map_or(0.0, |(_, size)| *size);
        let each = (size - was) / reports as f64;
        if each >= 0.05 {
            book.row(format!("of it: {name}"), "bytes", &[each]);
            let mut line = Line::new(name);
            line.points.push(("a repeated report".to_owned(), vec![each]));
            lines.push(line);
        }
    }
    book.plot(Plot {
        file: "size",
        title: "Bytes on disk per repeated report".into(),
        x: "",
        y: "bytes",
        stacked: true,
        lines,
    });
    book.close(&plan.out);
}
