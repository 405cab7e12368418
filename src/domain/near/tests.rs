use super::*;
use proptest::prelude::*;

fn found(wanted: (&str, &str), known: &[HostKey]) -> (Vec<String>, usize) {
    let wanted = HostKey::new(wanted.0, wanted.1);
    let (best, steps) = search(&wanted, known.iter(), 3);
    (best.found.iter().map(|(_, key)| key.to_string()).collect(), steps)
}

fn fleet(group: impl Fn(usize) -> String, host: impl Fn(usize) -> String) -> Vec<HostKey> {
    let mut known: Vec<_> = (0..10_000).map(|at| HostKey::new(&group(at), &host(at))).collect();
    known.sort();
    known
}

#[test]
fn near_names_are_those_a_person_would_have_meant() {
    let known: Vec<HostKey> = [
        ("rsyslog-prod", "rsyslog-01"),
        ("rsyslog-prod", "rsyslog-02"),
        ("rsyslog-test", "rsyslog-01"),
        ("nginx", "web-01.example.org"),
        ("splunk", "indexer"),
    ]
    .map(|(group, host)| HostKey::new(group, host))
    .into();
    let found = |group, host| found((group, host), &known).0.join(" ");
    assert_eq!(found("nginx", "web-01"), "nginx/web-01.example.org");
    assert!(found("rsyslog-prd", "rsyslog-01").starts_with("rsyslog-prod/rsyslog-01"));
    assert!(found("rsyslog-prod", "RSYSLOG-02").starts_with("rsyslog-prod/rsyslog-02"));
    assert_eq!(found("kafka", "broker-9"), "");
}

#[test]
fn an_ordinary_fleet_takes_few_steps() {
    let known = fleet(
        |at| format!("web-{}", ["prod", "test", "dev"][at % 3]),
        |at| format!("web-{at:05}.prod.example.org"),
    );
    for wanted in ["web-1o000.prod.example.org", "mail-7.test.example.org", "web-99999.prod", "db"]
    {
        let (_, steps) = found(("web-prod", wanted), &known);
        assert!(steps < 600_000, "{wanted}: {steps}");
    }
    let (names, _) = found(("web-prod", "web-0o000.prod.example.org"), &known);
    assert_eq!(names[0], "web-prod/web-00000.prod.example.org");
}

#[test]
fn no_fleet_and_no_name_take_more_steps_than_a_search_may() {
    let letters = |at: usize| -> String {
        let mut seed = at as u64 + 1;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (seed >> 60) as u8)
        };
        (0..NAME_MAX_CHARS).map(|_| next()).collect()
    };
    let padded = |at: usize| format!("{at:05}{}", "é".repeat(NAME_MAX_CHARS - 5));
    let turned = |at: usize| format!("{}{at:05}", "ab".repeat(125));
    for known in [
        fleet(letters, letters),
        fleet(padded, padded),
        fleet(|_| "group".into(), turned),
        fleet(turned, |_| "host".into()),
    ] {
        for name in [letters(20_000), padded(99_999), "ba".repeat(127), "x".into()] {
            for group in ["group", &name] {
                let (_, steps) = found((group, &name), &known);
                assert!(steps < STEPS_MAX + 10_000, "{steps}");
            }
        }
        // What no host can be called is compared with nothing.
        for name in [String::new(), "x".repeat(NAME_MAX_CHARS + 1), "x".repeat(100_000)] {
            assert_eq!(found((&name, "host"), &known), (Vec::new(), 0));
            assert_eq!(found(("group", &name), &known), (Vec::new(), 0));
        }
    }
}

#[test]
fn when_the_steps_do_not_suffice_the_group_that_was_named_came_first() {
    let long = |at: usize| format!("{}{at:05}{}", "é".repeat(125), "ß".repeat(125));
    let mut known = fleet(long, long);
    // It sorts behind all others.
    known.push(HostKey::new("飯", &long(77_777)));
    let (names, steps) = found(("飯", &long(77_778)), &known);
    assert!(steps > STEPS_MAX, "{steps}");
    assert_eq!(names, [format!("飯/{}", long(77_777))]);
}

/// What these names were compared by, cell by cell.
fn plainly(wanted: &str, known: &str) -> Option<u32> {
    let (a, b) = (wanted.to_lowercase(), known.to_lowercase());
    if wanted == known {
        return Some(0);
    }
    if a.split('.').next() == b.split('.').next() {
        return Some(1);
    }
    let allowed = (1 + a.chars().count().min(b.chars().count()) / 4).min(EDITS_MAX);
    let edits = strsim::osa_distance(&a, &b);
    if edits <= allowed {
        return Some(edits as u32 + 1);
    }
    (a.contains(&b) || b.contains(&a)).then_some(PART)
}

/// A name, and one that came of it by some edits.
fn pairs() -> impl Strategy<Value = (String, String)> {
    let names = prop_oneof!["[ab.]{1,140}", "[a-cAéß]{1,30}", "[a-z0-9.-]{1,200}"];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..20);
    (names, edits).prop_map(|(name, edits)| {
        let mut chars: Vec<char> = name.chars().collect();
        for (at, edit) in edits {
            let at = at.index(chars.len());
            match edit {
                0 => chars.insert(at, 'b'),
                1 => chars[at] = 'c',
                2 if chars.len() > 1 => drop(chars.remove(at)),
                _ if at > 0 => chars.swap(at - 1, at),
                _ => {}
            }
        }
        (name, chars.into_iter().take(NAME_MAX_CHARS).collect())
    })
}

proptest! {
    #[test]
    fn distances_are_those_of_the_plain_rule((wanted, known) in pairs(), limit in 0..20_u32) {
        let expected = plainly(&wanted, &known);
        let mut wanted = Wanted::new(&wanted);
        prop_assert_eq!(wanted.distance(&known, u32::MAX, &mut 0), expected);
        let within = expected.filter(|distance| *distance <= limit);
        prop_assert_eq!(wanted.distance(&known, limit, &mut 0), within);
    }

    #[test]
    fn edits_are_counted_right(a in "[abc]{1,200}", b in "[abc]{0,200}", most in 0..200_usize) {
        let expected = strsim::osa_distance(&a, &b);
        let edits = Pattern::new(&a).edits(&b, b.len(), most, &mut 0);
        prop_assert_eq!(edits, Some(expected).filter(|edits| *edits <= most));
    }
}
