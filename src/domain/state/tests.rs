//! The fold against a plain reading of the contract (section 3), for any order of arrival.

use super::*;
use crate::domain::apply::{Host, apply, hear};
use crate::domain::files::{ChangedFile, Files};
use crate::domain::surroundings::{Neighbours, Surroundings};
use proptest::prelude::*;

/// One host's report at a small set of times, with the few contents that matter to the fold.
fn any_report() -> impl Strategy<Value = (i64, Report)> {
    let source = prop::sample::select(Source::ALL);
    let status = prop::option::weighted(0.8, prop::sample::select(Status::ALL));
    let files = prop::option::of(prop::sample::select(vec!["", "a", "b", "a b"]));
    (0..8_i64, source, status, files, any::<bool>(), 0..3_u8).prop_map(
        |(time, source, status, files, reported, carried)| {
            // Only a cron report may leave its status out.
            let status =
                if source == Source::Cron { status } else { status.or(Some(Status::Failed)) };
            let import = |n| {
                (source == Source::Import && carried == n).then_some(Timestamp(time / 2 * SECOND))
            };
            let content = Content {
                status,
                changed_files: files.map(|text| {
                    let paths = text.split_whitespace();
                    paths.map(|path| ChangedFile { path: path.into(), detail: None }).collect()
                }),
                max_age: Some(60),
                last_pipeline_run: import(1),
                last_cron_check: import(2),
                ..Content::default()
            };
            let report = Report {
                key: HostKey::new("g", "h"),
                kind: Kind::Report,
                source,
                reported_at: reported.then_some(Timestamp(time * SECOND)),
                digest: content.digest(),
                kept: Arc::new(content.clone()),
                content: Arc::new(content),
                run: None,
            };
            (time, report)
        },
    )
}

type Placed = Vec<(Place, Report)>;

fn placed(reports: Vec<(i64, Report)>) -> Placed {
    (1..)
        .zip(reports)
        .map(|(id, (time, report))| (Place { time: Timestamp(time * SECOND), id }, report))
        .collect()
}

/// What was in force before a place, by walking everything there is in order.
fn walk(all: &Placed, until: Place) -> Before {
    let mut sorted: Vec<_> = all.iter().filter(|(place, _)| *place < until).collect();
    sorted.sort_by_key(|(place, _)| *place);
    let mut before = Before::default();
    for (_, report) in sorted {
        before.exists = true;
        if report.content.speaks_of_files(report.source) {
            before.files = Some(report.content.clone());
        }
        match report.content.status {
            Some(Status::OutOfSync) => before.drift_open = true,
            Some(Status::Synced) => before.drift_open = false,
            _ => {}
        }
        before.status = report.content.status.or(before.status);
    }
    before
}

fn surroundings(known: &Placed, place: Place) -> Surroundings {
    let mut neighbours = Neighbours::default();
    for (other, report) in known {
        neighbours.take_in(place, &Event::of(report, *other));
    }
    neighbours.surroundings()
}

fn fold_all(all: &Placed) -> (HostState, Vec<Judgement>) {
    let (mut state, mut judgements) = (None::<HostState>, Vec::new());
    for (at, (place, report)) in all.iter().enumerate() {
        let out_of_order = state.as_ref().is_some_and(|state| state.is_out_of_order(*place));
        let around = out_of_order.then(|| surroundings(&all[..at].to_vec(), *place));
        let before = around.as_ref().map(|around| &around.before);
        judgements.push(HostState::judge(state.as_ref(), report, *place, before));
        let next_drift = around.as_ref().and_then(|around| around.next_drift);
        let host = Host { key: &report.key, id: 1 };
        let next_drift = |_: &HostState| Ok::<_, std::convert::Infallible>(next_drift);
        let Ok(_) = hear(&mut state, host, Event::of(report, *place), next_drift);
    }
    (state.unwrap(), judgements)
}

/// Invariant 1: the state after any order of arrival is the fold in the order of (time, id).
fn check_any_order(all: &Placed) {
    let (state, judgements) = fold_all(all);
    let mut sorted = all.clone();
    sorted.sort_by_key(|(place, _)| *place);
    let (in_order, _) = fold_all(&sorted);
    assert_eq!(state, in_order, "order of arrival must not matter");

    // The registers, read literally off the contract.
    let end = Place { time: Timestamp(i64::MAX), id: u64::MAX };
    let in_force = walk(all, end);
    assert_eq!(state.status_in_force(), in_force.status.unwrap_or(Status::Unknown));
    assert_eq!(state.files.as_ref().map(|word| word.value.clone()), in_force.files);
    let newest = |wanted: &dyn Fn(&Report) -> bool| {
        sorted.iter().rev().find(|(_, report)| wanted(report)).map(|(place, _)| *place)
    };
    assert_eq!(Some(state.newest.place), newest(&|_| true));
    assert_eq!(
        state.deployment.as_ref().map(|word| word.place),
        newest(&|r| matches!(r.source, Source::Pipeline | Source::Import))
    );
    assert_eq!(
        state.check.as_ref().map(|word| word.place),
        newest(&|r| !matches!(r.source, Source::Pipeline | Source::Import))
    );
    let synced = newest(&|r| r.content.status == Some(Status::Synced));
    let start = sorted.iter().find(|(place, report)| {
        report.content.status == Some(Status::OutOfSync) && Some(*place) > synced
    });
    assert_eq!(state.drift_start, start.map(|(place, _)| *place));

    for (at, (place, report)) in all.iter().enumerate() {
        let known = all[..at].to_vec();
        let before = walk(&known, *place);
        let after = walk(&all[..=at].to_vec(), Place { id: place.id + 1, ..*place });
        let expected = if after.drift_open && !before.drift_open {
            Transition::Opened
        } else if before.drift_open && !after.drift_open {
            Transition::Closed
        } else if !before.exists
            || after.status.unwrap_or(Status::Unknown) != before.status.unwrap_or(Status::Unknown)
            || paths(&after) != paths(&before)
        {
            Transition::Changed
        } else {
            Transition::None
        };
        assert_eq!(judgements[at].transition, expected, "report {at}: {report:?}");
        let kind = |r: &Report| r.source.is_deployment();
        let late = known.iter().any(|(other, r)| {
            other.time > place.time && (report.source == Source::Import || kind(r) == kind(report))
        });
        assert_eq!(judgements[at].late, late, "report {at}: {report:?}");
    }
}

fn paths(state: &Before) -> std::collections::BTreeSet<String> {
    let files = state.files.iter().flat_map(|content| &content.changed_files);
    files.flat_map(Files::paths).map(std::borrow::Cow::into_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_state_is_the_fold_for_any_order_of_arrival(
        reports in prop::collection::vec(any_report(), 1..14)
    ) {
        check_any_order(&placed(reports));
    }
}

#[test]
fn the_newest_word_decides_whether_a_host_is_stale() {
    let report = |time: i64, seconds| {
        let content =
            Content { status: Some(Status::Synced), max_age: Some(seconds), ..Content::default() };
        let report = Report {
            key: HostKey::new("g", "h"),
            kind: Kind::Report,
            source: Source::Cron,
            reported_at: None,
            digest: content.digest(),
            kept: Arc::new(content.clone()),
            content: Arc::new(content),
            run: None,
        };
        (Place { time: Timestamp(time * SECOND), id: time as u64 + 1 }, report)
    };
    let (state, _) = fold_all(&vec![report(0, 86_400), report(100, 60)]);
    assert!(!state.is_stale(Timestamp(160 * SECOND)));
    assert!(state.is_stale(Timestamp(160 * SECOND + 1)));
}

#[test]
fn a_state_has_no_long_list_of_files() {
    let paths = (0..9_999).map(|at| format!("/etc/{}/{at}", "d".repeat(80)));
    let files: Files = paths.map(|path| ChangedFile { path, detail: None }).collect();
    let content = Content {
        status: Some(Status::OutOfSync),
        changed_files: Some(files),
        max_age: Some(60),
        ..Content::default()
    };
    let (digest, content) = (content.digest(), Arc::new(content));
    let report = Report {
        key: HostKey::new("g", "h"),
        kind: Kind::Report,
        source: Source::Pipeline,
        reported_at: None,
        kept: content.kept(digest),
        content,
        digest,
        run: None,
    };
    let (mut state, mut changes) = (None, Vec::new());
    let event = Event::of(&report, Place { time: Timestamp(0), id: 1 });
    let host = Host { key: &report.key, id: 1 };
    apply(&mut state, host, &[event], &mut changes);
    let state = state.unwrap();
    let contents = [&state.deployment, &state.files, &state.word].map(|word| word.clone().unwrap());
    let weight: usize = contents.iter().map(|word| word.value.weight()).sum();
    assert!(report.content.weight() > 800_000 && weight < 4_000, "{weight}");
    assert_eq!(contents[0].value.digest(), digest);
    assert_eq!(state.stored_files(), Some(digest));
    assert_eq!(state.files_in_force().map(Content::files_count), Some(9_999));
    let files = state.derive_course(None, 0, 0).files;
    assert_eq!(files.stored().map(|(_, content)| content), Some(Some(digest)));
    assert_eq!(files, report.content.file_set());
}
