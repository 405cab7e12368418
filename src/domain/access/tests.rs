//! Who may do what.

use super::*;
use crate::domain::time::SECOND;

fn grant(scopes: &[Scope], groups: &[&str], expires: Option<i64>) -> Grant {
    let globs = groups.iter().map(|glob| wildmatch::WildMatch::new(glob)).collect();
    Grant {
        scopes: scopes.to_vec(),
        groups: (!groups.is_empty()).then_some(globs),
        expires: expires.map(|seconds| Timestamp(seconds * SECOND)),
    }
}

fn token(name: &str, secrets: &[&str], grant: Grant) -> Arc<Token> {
    let digests = secrets.iter().filter_map(|secret| Digest::of(secret)).collect();
    Arc::new(Token { name: name.into(), digests, grant })
}

fn set(anonymous: Option<Grant>) -> TokenSet {
    let report = grant(&[Scope::Report], &["web-*", "d?s"], Some(100));
    let tokens = vec![
        token("ci", &["one", "two"], report),
        token("ops", &["three"], grant(&[Scope::Read, Scope::Admin], &[], None)),
    ];
    TokenSet { tokens, anonymous: anonymous.map(Arc::new) }
}

const BEFORE: Timestamp = Timestamp(100 * SECOND - 1);
const AFTER: Timestamp = Timestamp(100 * SECOND);

#[test]
fn a_token_is_good_until_it_expires() {
    let set = set(None);
    for secret in ["one", "two"] {
        assert_eq!(set.caller(&[secret], BEFORE).unwrap().name(), Some("ci"));
        assert_eq!(set.caller(&[secret], AFTER).unwrap_err(), Denial::Expired);
    }
    assert_eq!(set.caller(&["three"], AFTER).unwrap().name(), Some("ops"));
    for unknown in ["One", "onetwo", " one", &"x".repeat(5000)] {
        assert_eq!(set.caller(&[unknown], BEFORE).unwrap_err(), Denial::Unknown);
    }
    assert_eq!(set.caller(&["gss_one"], BEFORE).unwrap_err(), Denial::Mistyped);
    assert_eq!(set.caller(&["one", "three"], BEFORE).unwrap_err(), Denial::Ambiguous);
    assert_eq!(set.caller(&[], BEFORE).unwrap().name(), None);
}

#[test]
fn a_scope_holds_no_other() {
    let set = set(None);
    for (secrets, allowed, denial) in [
        (&["one"][..], &[Scope::Report][..], Denial::Scope),
        (&["three"], &[Scope::Read, Scope::Admin], Denial::Scope),
        (&[], &[], Denial::Missing),
    ] {
        let caller = set.caller(secrets, BEFORE).unwrap();
        for scope in Scope::ALL {
            let expected = if allowed.contains(&scope) { Ok(()) } else { Err(denial) };
            assert_eq!(caller.may(scope), expected, "{secrets:?} {scope:?}");
        }
    }
}

#[test]
fn groups_bind_reports_as_a_whole_name() {
    let set = set(None);
    let ci = set.caller(&["one"], BEFORE).unwrap();
    for group in ["web-", "web-prod", "web-a/b", "dns", "dös"] {
        assert_eq!(ci.may_report_for(group), Ok(()), "{group}");
    }
    for group in ["web", "my-web-prod", "Web-prod", "ds", "dnss", ""] {
        assert_eq!(ci.may_report_for(group), Err(Denial::Group), "{group}");
    }
    // Without the scope a group is nothing.
    assert_eq!(set.caller(&["three"], BEFORE).unwrap().may_report_for("dns"), Err(Denial::Group));
}

#[test]
fn what_needs_no_token_needs_none_with_one_either() {
    let night = grant(&[Scope::Report, Scope::Metrics], &["nightly"], Some(100));
    let set = set(Some(night));
    let nobody = set.caller(&[], BEFORE).unwrap();
    assert_eq!(nobody.may(Scope::Metrics), Ok(()));
    assert_eq!(nobody.may(Scope::Read), Err(Denial::Missing));
    assert_eq!(nobody.may_report_for("nightly"), Ok(()));
    assert_eq!(nobody.may_report_for("web-prod"), Err(Denial::Missing));
    let ci = set.caller(&["one"], BEFORE).unwrap();
    assert_eq!((ci.may_report_for("nightly"), ci.may_report_for("web-prod")), (Ok(()), Ok(())));
    assert_eq!(ci.may(Scope::Metrics), Ok(()));
    // It expires as tokens do.
    assert_eq!(set.caller(&[], AFTER).unwrap().may(Scope::Metrics), Err(Denial::Missing));
    let ops = set.caller(&["three"], AFTER).unwrap();
    assert_eq!(ops.may(Scope::Metrics), Err(Denial::Scope));
}

#[test]
fn a_grant_can_be_read() {
    let text = grant(&Scope::ALL, &["a", "b-*"], Some(0)).to_string();
    assert_eq!(text, "report (groups a, b-*), read, metrics, admin; until 1970-01-01T00:00:00Z");
    assert_eq!(grant(&[Scope::Read], &[], None).to_string(), "read");
}
