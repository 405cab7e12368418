//! What `TOKENS_FILE` may hold, and how it is told what it may not.

use super::*;
use crate::domain::access::secret::compose;

const ONE: &str = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
const TWO: &str = "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35";

fn read(text: &str) -> Result<TokenSet, String> {
    let filled = text.replace("CI", "[ci]\nsha256 = 'ONE'\nscopes = ['report']\n");
    let filled = filled.replace("ONE", ONE).replace("TWO", TWO);
    parse(filled.as_bytes())
}

#[test]
fn everything_that_an_entry_may_hold() {
    let set = read(
        "# tokens\n[ci]\nsha256 = 'ONE'\nscopes = ['report', \"read\"]\ngroups = ['web-*', 'd?s']\n\
         expires = 2027-06-30\n['a.b/c@d']\nsha256 = ['TWO']\nscopes = ['admin']\n\
         expires = '2027-06-30 12:00:00 +02:00'\n[anonymous]\nscopes = ['metrics']\n\
         expires = 2027-06-30T12:00:00.5Z\n",
    );
    let set = set.unwrap();
    let told: Vec<String> =
        set.tokens.iter().map(|token| format!("{}: {}", token.name, token.grant)).collect();
    assert_eq!(
        told,
        [
            "a.b/c@d: admin; until 2027-06-30T10:00:00Z",
            "ci: report (groups web-*, d?s), read; until 2027-06-30T00:00:00Z"
        ]
    );
    let anonymous = set.anonymous.as_ref().unwrap().to_string();
    assert_eq!(anonymous, "metrics; until 2027-06-30T12:00:00.5Z");
    let now = Timestamp::default();
    assert_eq!(set.caller(&["1"], now).unwrap().name(), Some("ci"));
    assert_eq!(set.caller(&["2"], now).unwrap().name(), Some("a.b/c@d"));
    let exchanged = read("[ci]\nsha256 = ['ONE', 'TWO']\nscopes = ['read']").unwrap();
    for text in ["1", "2"] {
        assert_eq!(exchanged.caller(&[text], now).unwrap().name(), Some("ci"));
    }
    assert!(read("\u{feff}[anonymous]\r\nscopes = ['read']\r\n").is_ok());
}

/// The line and the name that the error has, and what it says.
fn is_refused(text: &str, line: usize, name: &str, says: &str) {
    let error = read(text).unwrap_err();
    let place = format!("line {line}: entry {name:?}: ");
    assert!(error.starts_with(&place) && error.contains(says), "{text}\n{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(!error.contains(ONE) && !error.contains(TWO), "{error}");
}

#[test]
fn a_wrong_entry_is_named_with_its_line() {
    is_refused("\n[a.b]\nscopes = ['read']", 2, "a", "[\"a.b\"]");
    is_refused("CI[ci]\n", 4, "ci", "\"ci\" stands there twice");
    is_refused("CIscopes = ['read']", 4, "ci", "\"scopes\" stands there twice");
    is_refused("CIgroup = ['a']", 4, "ci", "\"group\" is not known; there are sha256");
    is_refused("CI[x]\nsha256 = 'ONE'\nscopes = ['read']", 4, "x", "\"ci\" has the same");
    is_refused("[ci]\nsha256 = ['ONE', 'ONE']\nscopes = ['read']", 1, "ci", "it has the same");
    is_refused("[ci]\nsha256 = ", 2, "ci", "is not TOML");
    for name in ["-x", "ü", "a b"] {
        let entry = format!("['{name}']\nsha256 = 'ONE'\nscopes = ['read']");
        is_refused(&entry, 1, name, "a name has 1 to 64");
    }
}

#[test]
fn a_wrong_field_is_named_with_its_line() {
    is_refused("[ci]\nscopes = ['read']", 1, "ci", "sha256 is missing");
    for sha256 in ["'12'", "12", "[]", "['ONE', 'TWO', 'ONE']", "['ONE', 1]"] {
        let entry = format!("[ci]\nscopes = ['read']\nsha256 = {sha256}");
        is_refused(&entry, 3, "ci", "sha256: must be 64 hex digits");
    }
    is_refused("[anonymous]\nsha256 = 'ONE'\nscopes = ['read']", 2, "anonymous", "needs no token");
    is_refused("[ci]\nsha256 = 'ONE'", 1, "ci", "scopes are missing");
    for (scopes, says) in [
        ("[]", "must be a list"),
        ("'read'", "must be a list"),
        ("['write']", "\"write\" is none; there are report, read, metrics, admin"),
        ("['read', 1]", "must be a text"),
    ] {
        is_refused(&format!("[ci]\nsha256 = 'ONE'\nscopes = {scopes}"), 3, "ci", says);
    }
    for (groups, says) in [
        ("[]", "must be a list"),
        ("'web'", "must be a list"),
        ("['']", "a pattern has"),
        ("[' web']", "a pattern has"),
        ("['a\\nb']", "is none"),
    ] {
        is_refused(&format!("CIgroups = {}", groups.replace('\'', "\"")), 4, "ci", says);
    }
    let elsewhere = "[anonymous]\nscopes = ['read', 'admin']\ngroups = ['a']";
    is_refused(elsewhere, 3, "anonymous", "bind the scope report only");
    for expires in ["'soon'", "'now-90d'", "1893456000", "12:00:00", "'2027'", "true"] {
        is_refused(&format!("CIexpires = {expires}"), 4, "ci", "expires: must be a date");
    }
}

#[test]
fn what_is_no_entry_is_named_too() {
    for (text, error) in [
        ("", "has no entry, which"),
        ("# nothing\n", "has no entry, which"),
        ("version = 1", "line 1: \"version\" is no entry: that is [NAME]"),
        ("[[ci]]\nscopes = ['read']", "line 1: \"ci\" is no entry: that is [NAME]"),
        ("nonsense", "line 1: is not TOML: "),
    ] {
        let said = read(text).unwrap_err();
        assert!(said.starts_with(error) && said.lines().count() == 1, "{text}: {said}");
    }
    assert_eq!(parse(b"\xff").unwrap_err(), "is not UTF-8");
    assert!(parse(&vec![b'#'; FILE_MAX_BYTES + 1]).unwrap_err().contains("more than"));
}

#[test]
fn the_example_can_be_read() {
    let set = parse(include_bytes!("../../../deploy/tokens/tokens.toml")).unwrap();
    assert_eq!(set.tokens.len(), 5);
    let anonymous = set.anonymous.unwrap().to_string();
    assert_eq!(anonymous, "report (groups drift-detection), metrics");
}

#[test]
fn a_token_in_the_wrong_place_is_not_repeated() {
    let token = compose([7; 32]);
    for text in [
        "TOKEN",
        "TOKEN = 1",
        "[TOKEN]",
        "[TOKEN]\nscopes = ['read']\nsha256 = 'ONE'",
        "[ci]\nsha256 = 'TOKEN'\nscopes = ['read']",
        "[ci]\nTOKEN = 1",
        "[ci]\nsha256 = TOKEN",
        "[ci]\nsha256 = 'ONE'\nscopes = ['TOKEN']",
        "[ci]\nsha256 = 'ONE'\nscopes = 'TOKEN'",
        "[ci]\nsha256 = 'ONE'\nscopes = ['report']\nexpires = 'TOKEN'",
        "[ci]\nsha256 = 'ONE'\nscopes = ['report']\ngroups = [' TOKEN']",
        "[TOKEN]\nx = 1\n[TOKEN]",
        "[ci]\nTOKEN = 1\nTOKEN = 1",
        "[TOKEN]\nsha256 = !",
    ] {
        let error = read(&text.replace("TOKEN", &token)).unwrap_err();
        assert!(!error.contains(&token), "{text}\n{error}");
    }
}

#[test]
fn the_file_has_bounds() {
    let entries = |count: usize| -> String {
        let entry = |at: usize| format!("[t{at}]\nsha256 = '{at:064x}'\nscopes = ['read']\n");
        (0..count).map(entry).collect()
    };
    assert_eq!(read(&entries(TOKENS_MAX)).unwrap().tokens.len(), TOKENS_MAX);
    assert!(read(&entries(TOKENS_MAX + 1)).unwrap_err().contains("at most 1000"));
    let groups = |count| {
        let groups = vec!["\"a\""; count].join(", ");
        read(&format!("[anonymous]\nscopes = ['report']\ngroups = [{groups}]"))
    };
    assert!(groups(GROUPS_MAX).is_ok() && groups(GROUPS_MAX + 1).is_err());
}

#[test]
fn an_entry_that_is_printed_is_read_back() {
    let digest = Digest::of("1").unwrap();
    let groups = ["web-*".to_owned(), "a\"b\\c ü".to_owned()];
    let expires = Some(parse_moment("2027-06-30").unwrap());
    let text = entry("ci.web", &digest, &[Scope::Report, Scope::Read], &groups, expires);
    assert_eq!(
        text,
        format!(
            "[\"ci.web\"]\nsha256 = \"{ONE}\"\ngroups = [\"web-*\", \"a\\\"b\\\\c ü\"]\n\
             expires = 2027-06-30T00:00:00Z\nscopes = [\"report\", \"read\"]\n"
        )
    );
    let set = parse(text.as_bytes()).unwrap();
    let caller = set.caller(&["1"], Timestamp::default()).unwrap();
    assert_eq!(caller.name(), Some("ci.web"));
    assert_eq!(caller.may_report_for("a\"b\\c ü"), Ok(()));
    let plain = entry("ci", &digest, &[Scope::Admin], &[], None);
    assert_eq!(plain, format!("[ci]\nsha256 = \"{ONE}\"\nscopes = [\"admin\"]\n"));
}

/// Whether a grant of a file that was cut allows nothing that the whole file's does not.
fn is_within(cut: &Grant, whole: &Grant) -> bool {
    let texts = |grant: &Grant| {
        grant.groups.as_ref().map(|globs| globs.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let groups = match (texts(cut), texts(whole)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(cut), Some(whole)) => cut.iter().all(|glob| whole.contains(glob)),
    };
    let expiry = match (cut.expires, whole.expires) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(cut), Some(whole)) => cut <= whole,
    };
    groups && expiry && cut.scopes.iter().all(|scope| whole.scopes.contains(scope))
}

/// The first length to which a file may be cut so that it is taken, and allows more than the whole.
fn widened_at(text: &str) -> Option<usize> {
    let whole = parse(text.as_bytes()).unwrap();
    (0..text.len()).find(|end| {
        let Ok(cut) = parse(&text.as_bytes()[..*end]) else { return false };
        let wider = |token: &Token| {
            let same = whole.tokens.iter().find(|other| other.name == token.name);
            same.is_none_or(|other| {
                !is_within(&token.grant, &other.grant)
                    || token.digests.iter().any(|digest| !other.digests.contains(digest))
            })
        };
        let anonymous = match (&cut.anonymous, &whole.anonymous) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(cut), Some(whole)) => !is_within(cut, whole),
        };
        anonymous || cut.tokens.iter().any(|token| wider(token))
    })
}

#[test]
fn no_beginning_of_a_file_allows_more_than_the_whole() {
    let example = include_str!("../../../deploy/tokens/tokens.toml");
    assert_eq!(widened_at(example), None, "the example");
    let groups = ["web-*".to_owned(), "дом".to_owned(), "a\"b] #".to_owned()];
    let mut all = String::new();
    for (at, scopes) in
        [&[Scope::Report][..], &[Scope::Report, Scope::Read], &Scope::ALL].iter().enumerate()
    {
        for (groups, name) in [(&groups[..0], "all"), (&groups[..1], "one"), (&groups, "a.b/more")]
        {
            for expires in ["", "2027-06-30", "2027-06-30T12:34:56.789Z"] {
                let name = format!("{name}-{at}-{}", expires.len());
                let digest = Digest::of(&name).unwrap();
                let printed = entry(&name, &digest, scopes, groups, parse_moment(expires));
                assert_eq!(widened_at(&printed), None, "{printed}");
                // Behind the others, as it is put into the file.
                all = format!("{all}\n{printed}");
            }
        }
    }
    assert_eq!(widened_at(&all), None, "{all}");
    let by_hand =
        "CIgroups = ['web-*']\n".replace("CI", "[ci]\nsha256 = 'ONE'\nscopes = ['report']\n");
    let by_hand = by_hand.replace("ONE", ONE);
    assert!(widened_at(&by_hand).is_some(), "this test finds what is not in that order");
}
