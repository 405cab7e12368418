//! Those who look: people with dashboards, an auditor who walks, Prometheus. Each looks again when its time has
//! come by the season's clock, and does without if it is still looking.

use super::client::Connection;
use super::samples::Times;
use super::season::{GROUPS, HOSTS};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::spawn_local;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// What is looked at: its name in the samples, how often, and the path of the n-th time.
type Look = (&'static str, i64, fn(usize) -> String);

const LOOKS: [Look; 8] = [
    ("page", 30 * SECOND, page_of),
    ("status", MINUTE, |_| "/status".into()),
    ("metrics", MINUTE, |_| "/metrics".into()),
    ("group", MINUTE, |n| format!("/status/rsyslog-{:02}", n % GROUPS)),
    ("timeline", HOUR, |n| format!("/timeline?from=now-1d&server_group=rsyslog-{:02}", n % GROUPS)),
    ("episodes", HOUR, |_| "/episodes?limit=100".into()),
    ("review", 6 * HOUR, |_| "/reviews/this-month".into()),
    ("checkpoint", HOUR, |_| "/checkpoint".into()),
];

fn page_of(n: usize) -> String {
    let host = n * 37 % HOSTS;
    format!("/history/rsyslog-{:02}/rsyslog-{host:04}?limit=100", host % GROUPS)
}

/// Starts all of them; they end with the clock.
pub fn start(
    port: u16,
    clock: &watch::Receiver<i64>,
    times: &Rc<RefCell<Times>>,
    trouble: &Rc<RefCell<Option<String>>>,
) {
    for look in LOOKS {
        let (clock, times, trouble) = (clock.clone(), times.clone(), trouble.clone());
        spawn_local(async move {
            if let Err(problem) = watch(port, look, clock, &times).await {
                *trouble.borrow_mut() = Some(problem);
            }
        });
    }
    let (clock, times, trouble) = (clock.clone(), times.clone(), trouble.clone());
    spawn_local(async move {
        if let Err(problem) = walk(port, clock, &times).await {
            *trouble.borrow_mut() = Some(problem);
        }
    });
}

async fn watch(
    port: u16,
    (name, every, path): Look,
    mut clock: watch::Receiver<i64>,
    times: &RefCell<Times>,
) -> Result<(), String> {
    let mut connection = Connection::to(port);
    let (mut due, mut n) = (0, 0);
    while clock.changed().await.is_ok() {
        let now = *clock.borrow_and_update();
        if now < due {
            continue;
        }
        due = now + every;
        let path = path(n);
        look(&mut connection, name, &path, times).await?;
        n += 1;
    }
    Ok(())
}

/// Walks through the whole history of one host after the other, page by page.
async fn walk(
    port: u16,
    mut clock: watch::Receiver<i64>,
    times: &RefCell<Times>,
) -> Result<(), String> {
    let mut connection = Connection::to(port);
    let (mut n, mut cursor) = (0, None);
    while clock.changed().await.is_ok() {
        clock.mark_unchanged();
        let more = cursor.as_ref().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let path = format!("{}{more}", page_of(n));
        let name = if cursor.is_some() { "deep page" } else { "page" };
        let end = look(&mut connection, name, &path, times).await?;
        cursor = cursor_in(&end);
        if cursor.is_none() {
            n += 7;
        }
    }
    Ok(())
}

/// The cursor at the end of a page.
fn cursor_in(end: &str) -> Option<String> {
    let (_, cursor) = end.rsplit_once(r#""next_cursor":""#)?;
    Some(cursor.trim_end_matches(['"', '}']).to_owned())
}

/// Looks once; the end of what it saw.
async fn look(
    connection: &mut Connection,
    name: &'static str,
    path: &str,
    times: &RefCell<Times>,
) -> Result<String, String> {
    let asked = Instant::now();
    let answer = connection.get(path).await.map_err(|error| format!("{path}: {error}"))?;
    let body = answer.body;
    if answer.status != 200 {
        return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(body)));
    }
    times.borrow_mut().add(name, &[asked.elapsed().as_secs_f64() * 1000.0]);
    Ok(String::from_utf8_lossy(&body[body.len().saturating_sub(400)..]).into_owned())
}
