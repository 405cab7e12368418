//! A review as a page of text.

use crate::domain::review::{GroupBy, HostPeriod, Item, Tally, add_up};
use crate::domain::shown::shown;
use crate::domain::time::{SECOND, Timestamp};
use crate::http::past::reviews::ReviewData;
use std::fmt::Write;

/// Lines of each list.
const LIST: usize = 10;

/// The page: totals, worst hosts, longest episodes, most drifted files, what was not measured.
pub fn of(data: &ReviewData) -> String {
    let mut page = String::new();
    let (hosts, totals) = add_up(&data.hosts, GroupBy::Host, data.bounds);
    head(&mut page, data, &totals);
    worst_hosts(&mut page, &hosts);
    longest_episodes(&mut page, data);
    let (files, _) = add_up(&data.hosts, GroupBy::File, data.bounds);
    most_drifted_files(&mut page, files);
    not_measured(&mut page, hosts);
    page
}

fn head(page: &mut String, data: &ReviewData, totals: &Tally) {
    let name = data.period.map_or("Review".to_owned(), |period| format!("Review of {period}"));
    let bounds = data.bounds;
    let end = if data.complete { "" } else { " (still running)" };
    line(page, &name);
    line(page, &"=".repeat(name.len()));
    line(page, &format!("{} to {}{end}, as of entry {}", bounds.from, bounds.to, data.known.as_of));
    line(page, "");
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share} %"));
    let repair = totals.mean_time_to_repair().map_or("-".to_owned(), length);
    for (name, value) in [
        ("hosts", totals.hosts.to_string()),
        ("reports", totals.reports.to_string()),
        ("in sync", format!("{} of the measured time", percent(totals.in_sync_percent()))),
        ("measured", format!("{} of all time", percent(totals.coverage_percent()))),
        ("drifted", length(totals.drifted)),
        ("not measured", length(totals.not_measured)),
        ("drifts", format!("{} began, {} open at the end", totals.episodes, totals.open_episodes)),
        ("mean time to repair", repair),
        ("longest drift", length(totals.longest_drift.into())),
        ("most drifted file", totals.most_drifted_file().unwrap_or("-").to_owned()),
    ] {
        line(page, &format!("{name:<20} {value}"));
    }
}

fn worst_hosts(page: &mut String, hosts: &[Item]) {
    let mut worst: Vec<&Item> = hosts.iter().filter(|item| item.tally.drifted > 0).collect();
    worst.sort_by_key(|item| std::cmp::Reverse(item.tally.drifted));
    let rows = worst.iter().take(LIST).map(|item| {
        let tally = &item.tally;
        let share = tally.in_sync_percent().map_or("-".into(), |share| format!("{share} %"));
        let drifts = tally.episodes.to_string();
        vec![host(item), length(tally.drifted), share, drifts, file(tally)]
    });
    let columns = ["host", "drifted", "in sync", "drifts", "most drifted file"];
    table(page, "Worst hosts", &columns, rows.collect(), worst.len());
}

fn longest_episodes(page: &mut String, data: &ReviewData) {
    let within = |started: Timestamp, ended: Option<Timestamp>| {
        let end = ended.map_or(data.bounds.to, |end| end.min(data.bounds.to));
        end.0 - started.max(data.bounds.from).0
    };
    let mut longest: Vec<_> = data
        .episodes
        .iter()
        .map(|record| {
            let ended = record.closed.as_ref().map(|closed| closed.place.time);
            (within(record.episode.started_at, ended), ended, record)
        })
        .collect();
    longest.sort_by_key(|(length, _, record)| (std::cmp::Reverse(*length), record.episode.id));
    let rows = longest.iter().take(LIST).map(|(within, ended, record)| {
        let HostPeriod { attributes, .. } = &data.hosts[record.host];
        let mut files: Vec<&str> = record.files.paths().take(3).collect();
        if record.files.len() > files.len() {
            files.push("…");
        }
        let end = match (ended, record.closed.as_ref().map(|closed| closed.source)) {
            (Some(end), Some(Some(source))) => format!("{end} by {}", source.word()),
            (Some(end), _) => format!("{end} by retirement"),
            (None, _) => "open".to_owned(),
        };
        vec![
            attributes.key.to_string(),
            length((*within).into()),
            record.episode.started_at.to_string(),
            end,
            files.join(", "),
        ]
    });
    let columns = ["host", "in the period", "began", "ended", "files"];
    table(
        page,
        "Longest drifts, from start to end, unmeasured time included",
        &columns,
        rows.collect(),
        longest.len(),
    );
}

fn most_drifted_files(page: &mut String, mut files: Vec<Item>) {
    files.sort_by_key(|item| std::cmp::Reverse(item.tally.drifted));
    let rows = files.iter().take(LIST).map(|item| {
        let tally = &item.tally;
        let path = item.keys[0].clone().unwrap_or_default();
        vec![path, length(tally.drifted), tally.hosts.to_string(), tally.episodes.to_string()]
    });
    let columns = ["file", "drifted", "hosts", "drifts"];
    table(page, "Most drifted files", &columns, rows.collect(), files.len());
}

fn not_measured(page: &mut String, mut hosts: Vec<Item>) {
    hosts.retain(|item| item.tally.not_measured > 0);
    hosts.sort_by_key(|item| std::cmp::Reverse(item.tally.not_measured));
    let rows = hosts.iter().take(LIST).map(|item| {
        let share = item.tally.coverage_percent();
        let share = share.map_or("-".into(), |share| format!("{share} %"));
        vec![host(item), length(item.tally.not_measured), share]
    });
    let columns = ["host", "not measured", "measured"];
    table(page, "Not measured", &columns, rows.collect(), hosts.len());
}

fn host(item: &Item) -> String {
    let names: Vec<&str> = item.keys.iter().map(|key| key.as_deref().unwrap_or("-")).collect();
    names.join("/")
}

fn file(tally: &Tally) -> String {
    tally.most_drifted_file().unwrap_or("-").to_owned()
}

/// Days, hours, minutes; seconds below an hour.
fn length(micros: i128) -> String {
    let seconds = micros / i128::from(SECOND);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {}s", seconds % 60),
        (0, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h {minutes}m"),
    }
}

/// A list with its head; `all`: how long it would be.
fn table(page: &mut String, name: &str, columns: &[&str], rows: Vec<Vec<String>>, all: usize) {
    let more = if all > rows.len() { format!(" ({} of {all})", rows.len()) } else { String::new() };
    line(page, "");
    line(page, &format!("{name}{more}"));
    line(page, &"-".repeat(name.len() + more.len()));
    if rows.is_empty() {
        return line(page, "none");
    }
    let head = columns.iter().map(|column| (*column).to_owned()).collect();
    let rows = std::iter::once(head).chain(rows);
    // Before they are measured.
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.iter().map(|cell| shown(cell).into_owned()).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|at| width(at).unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = *width))
            .collect();
        line(page, cells.join("  ").trim_end());
    }
}

/// What senders wrote must not move the cursor of a terminal.
fn line(page: &mut String, text: &str) {
    let _ = writeln!(page, "{}", shown(text));
}
