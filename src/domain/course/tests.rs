//! The course against an oracle that looks at every instant by itself.

use super::*;
use crate::domain::files::ChangedFile;
use proptest::prelude::*;
use std::sync::Arc;

const HOUR: i64 = DAY / 24;

#[derive(Debug, Clone)]
struct Sent {
    place: Place,
    kind: Kind,
    source: Option<Source>,
    content: Arc<Content>,
}

fn event(sent: &Sent) -> Event<'_> {
    let Sent { place, kind, source, content } = sent;
    let (place, kind, source, digest) = (*place, *kind, *source, content.digest());
    Event { place, kind, source, reported_at: None, content, digest, run: None }
}

fn any_sent() -> impl Strategy<Value = (i64, Sent)> {
    let status = prop::option::weighted(0.8, prop::sample::select(Status::ALL));
    let files =
        prop::option::of(prop::collection::vec(prop::sample::select(&["a", "b", "c"]), 0..3));
    let source = prop::sample::select(&[Source::Cron, Source::Pipeline]);
    let max_age = prop::sample::select(&[3600_u32, 7200, 200_000]);
    (0..80_i64, status, files, source, max_age, 0..12).prop_map(
        |(hours, status, files, source, max_age, dice)| {
            let retire = dice == 0;
            let named = |paths: Vec<&str>| {
                paths
                    .iter()
                    .map(|path| ChangedFile { path: (*path).into(), detail: None })
                    .collect()
            };
            let content = Content {
                status: status.filter(|_| !retire),
                changed_files: files.filter(|_| !retire).map(named),
                max_age: (!retire).then_some(max_age),
                ..Content::default()
            };
            let sent = Sent {
                place: Place { time: Timestamp(0), id: 0 },
                kind: if retire { Kind::Retire } else { Kind::Report },
                source: (!retire).then_some(source),
                content: Arc::new(content),
            };
            (hours * HOUR, sent)
        },
    )
}

/// Sorted by (time, id). A retirement has a time of its own, as the recorder sees to.
fn placed(sent: Vec<(i64, Sent)>) -> Vec<Sent> {
    let mut entries: Vec<Sent> = sent
        .into_iter()
        .enumerate()
        .map(|(at, (time, mut sent))| {
            let time = time + if sent.kind == Kind::Retire { 1 + at as i64 } else { 0 };
            sent.place = Place { time: Timestamp(time), id: at as u64 + 1 };
            sent
        })
        .collect();
    entries.sort_by_key(|sent| sent.place);
    entries
}

fn fold(entries: &[Sent]) -> (Course, Vec<Change>) {
    let (mut course, mut changes) = (Course::default(), Vec::new());
    let steps: Vec<_> = entries.iter().map(event).collect();
    course.fold(&steps, &mut changes);
    (course, changes)
}

/// What holds at an instant: `None` without a life, else status, silence, files.
fn at(entries: &[Sent], now: Timestamp) -> Option<(Status, bool, Vec<String>)> {
    let (mut status, mut files, mut good, mut alive) =
        (Status::Unknown, Vec::new(), Timestamp(0), false);
    for sent in entries.iter().filter(|sent| sent.place.time <= now) {
        if sent.kind == Kind::Retire {
            (status, files, alive) = (Status::Unknown, Vec::new(), false);
            continue;
        }
        alive = true;
        let said = &sent.content;
        status = said.status.unwrap_or(status);
        match &said.changed_files {
            Some(named) => files = named.paths().iter().map(ToString::to_string).collect(),
            None if sent.source == Some(Source::Pipeline) => files.clear(),
            None if said.status == Some(Status::Synced) => files.clear(),
            None => {}
        }
        good = Timestamp(sent.place.time.0 + i64::from(said.max_age.unwrap()) * SECOND);
    }
    files.sort();
    files.dedup();
    alive.then_some((status, now >= good, files))
}

#[derive(Debug, PartialEq)]
struct Drift {
    id: u64,
    started_after: Option<i64>,
    ended: Option<(u64, Option<Source>)>,
    last_word: i64,
    reports: u64,
    files: Vec<String>,
}

/// The episodes of the definition: from `out_of_sync` to the next `synced`, or the retirement.
fn drifts(entries: &[Sent]) -> Vec<Drift> {
    let (mut drifts, mut open) = (Vec::<Drift>::new(), false);
    let (mut synced, mut files) = (None, Vec::<String>::new());
    for sent in entries {
        let said = &sent.content;
        if sent.kind == Kind::Retire || said.status == Some(Status::Synced) {
            if open {
                drifts.last_mut().unwrap().ended = Some((sent.place.id, sent.source));
            }
            open = false;
        }
        if sent.kind == Kind::Retire {
            files.clear();
            continue;
        }
        match &said.changed_files {
            Some(named) => files = named.paths().iter().map(ToString::to_string).collect(),
            None if sent.source == Some(Source::Pipeline) => files.clear(),
            None if said.status == Some(Status::Synced) => files.clear(),
            None => {}
        }
        if said.status == Some(Status::Synced) {
            synced = Some(sent.place.time.0);
        }
        if said.status == Some(Status::OutOfSync) {
            if !open {
                drifts.push(Drift {
                    id: sent.place.id,
                    started_after: synced,
                    ended: None,
                    last_word: 0,
                    reports: 0,
                    files: Vec::new(),
                });
            }
            open = true;
            drifts.last_mut().unwrap().last_word = sent.place.time.0;
        }
        if open {
            let drift = drifts.last_mut().unwrap();
            drift.reports += 1;
            drift.files.extend(files.iter().cloned());
            drift.files.sort();
            drift.files.dedup();
        }
    }
    drifts
}

fn check(entries: &[Sent]) {
    let now = Timestamp(100 * HOUR + 1);
    let (course, changes) = fold(entries);
    let mut segments: Vec<Segment> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Segment(segment) => Some(segment.clone()),
            _ => None,
        })
        .collect();
    segments.extend(course.tail(now));
    // Every instant around which anything can change belongs to the segment it should.
    let edges = entries.iter().map(|sent| sent.place.time.0);
    let edges = edges.chain(segments.iter().flat_map(|segment| [segment.start.0, segment.end.0]));
    for edge in edges.flat_map(|edge| [edge - 1, edge, edge + 1]).filter(|edge| *edge < now.0) {
        let edge = Timestamp(edge);
        let found: Vec<_> = segments
            .iter()
            .filter(|segment| (segment.start..segment.end).contains(&edge))
            .collect();
        assert!(found.len() <= 1, "{found:?}");
        let found = found
            .first()
            .map(|s| (s.status, s.silent, s.files.paths().map(str::to_owned).collect::<Vec<_>>()));
        assert_eq!(found, at(entries, edge), "at {edge}");
    }
    for segment in &segments {
        let reports: Vec<_> = entries
            .iter()
            .filter(|sent| (segment.start..segment.end).contains(&sent.place.time))
            .filter(|sent| sent.kind == Kind::Report)
            .collect();
        assert_eq!(segment.reports, reports.len() as u64);
        assert!(reports.iter().all(|r| midnight(r.place.time) == midnight(segment.start)));
        assert_eq!(segment.silent, reports.is_empty());
    }
    for pair in segments.windows(2) {
        let same = pair[0].status == pair[1].status
            && pair[0].files == pair[1].files
            && pair[0].deployment == pair[1].deployment;
        if pair[0].end == pair[1].start && same && pair[0].silent == pair[1].silent {
            let new_day = pair[1].start == midnight(pair[1].start);
            let revived =
                entries.iter().any(|s| s.kind == Kind::Retire && s.place.time == pair[1].start);
            assert!(new_day || revived, "{pair:?}");
        }
    }
    check_episodes(entries, &course, &changes, &segments, now);
}

fn check_episodes(
    entries: &[Sent],
    course: &Course,
    changes: &[Change],
    segments: &[Segment],
    now: Timestamp,
) {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for change in changes {
        match change {
            Change::Seen { episode, files, .. } => {
                seen.extend(files.paths().map(|path| (*episode, path.to_owned())));
            }
            Change::Closed(episode, closing) => found.push((episode.clone(), Some(*closing))),
            Change::Segment(_) | Change::Opened(_) => {}
        }
    }
    found.extend(course.episode.clone().map(|episode| (episode, None)));
    let opened = changes.iter().filter(|change| matches!(change, Change::Opened(_))).count();
    assert_eq!(opened, found.len());
    let shown: Vec<_> = found
        .iter()
        .map(|(episode, closing)| {
            let mut files: Vec<_> =
                seen.iter().filter(|(id, _)| *id == episode.id).map(|(_, p)| p.clone()).collect();
            files.sort();
            files.dedup();
            Drift {
                id: episode.id,
                started_after: episode.started_after.map(|time| time.0),
                ended: closing.map(|closing| (closing.place.id, closing.source)),
                last_word: episode.last_drift.0,
                reports: episode.reports,
                files,
            }
        })
        .collect();
    assert_eq!(shown, drifts(entries));
    for (episode, closing) in found {
        let end = closing.map_or(now, |closing| closing.place.time);
        let measured: i64 = segments
            .iter()
            .filter(|segment| segment.status == Status::OutOfSync && !segment.silent)
            .map(|s| (s.end.min(end).0 - s.start.max(episode.started_at).0).max(0))
            .sum();
        let said = if closing.is_some() { episode.drifted } else { course.drifted(now) };
        assert_eq!(said, measured);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn segments_and_episodes_are_what_every_instant_says(
        sent in prop::collection::vec(any_sent(), 1..16)
    ) {
        check(&placed(sent));
    }
}
