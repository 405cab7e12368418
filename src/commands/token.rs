//! `token new` and `token hash`. A token is never an argument: those can be seen by everybody on the
//! machine, and stay in the shell's history.

use super::{Failure, say, system_clock, wrong_argument};
use crate::config::tokens::{self, parse_moment};
use crate::config::{NewTokenArgs, TokenCommand};
use crate::domain::access::Scope;
use crate::domain::access::secret::{Digest, TOKEN_MAX_BYTES, compose, is_mistyped};
use crate::domain::time::Timestamp;
use std::io::{BufRead, IsTerminal, Read};

/// A token that somebody thought of can be found by trying; one of ours has 53 characters.
const SHORT_CHARS: usize = 32;

/// Runs one of them.
pub fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::New(args) => new(&args),
        TokenCommand::Hash => hash(),
    }
}

fn new(args: &NewTokenArgs) -> Result<(), Failure> {
    let now = system_clock()();
    let expires = args.expires.as_deref().map(|text| expiry(text, now)).transpose()?;
    if !args.group.is_empty() && !args.scope.contains(&Scope::Report) {
        let why = "--group: groups bind the scope report only; add --scope report, or leave it out";
        return Err(wrong_argument(why.into()));
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| format!("no randomness: {error}"))?;
    let token = compose(random);
    let digest = Digest::of(&token).expect("it is short");
    let entry = tokens::entry(&args.name, &digest, &args.scope, &args.group, expires);
    // As the server will read it.
    tokens::parse(entry.as_bytes()).map_err(wrong_argument)?;
    say::text(&format!("{token}\n\n{entry}"))
}

/// A date or a time, or how long from now; it must lie ahead.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = |why: &str| wrong_argument(format!("--expires: '{text}' {why}"));
    let ahead = || {
        let micros = humantime::parse_duration(text).ok()?.as_micros();
        let then = now.calendar().timestamp().checked_add((micros / 1_000_000).try_into().ok()?)?;
        Timestamp::from_unix_seconds(then as f64)
    };
    match parse_moment(text).or_else(ahead) {
        Some(time) if time > now => Ok(time),
        Some(_) => Err(wrong("is not in the future")),
        None => Err(wrong("is neither a time (2027-06-30, RFC 3339) nor a duration (90d, 1y)")),
    }
}

fn hash() -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("token: ");
    }
    let mut token = String::new();
    stdin.lock().take(2 * TOKEN_MAX_BYTES as u64).read_line(&mut token)?;
    let token = token.trim();
    if token.is_empty() {
        return Err("there is no token on standard input".into());
    }
    if is_mistyped(token) {
        return Err("the checksum at the end of this token is wrong: it is mistyped, or cut".into());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token has visible ASCII characters only, to fit into a header".into());
    }
    let too_long = || format!("a token has at most {TOKEN_MAX_BYTES} characters");
    let digest = Digest::of(token).ok_or_else(too_long)?;
    if token.len() < SHORT_CHARS {
        say::aside(
            "this token is short; `gitops-status-server token new` makes one nobody can guess",
        );
    }
    say::text(&format!("{}\n", digest.hex()))
}
