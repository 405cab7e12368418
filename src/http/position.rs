//! How much of the history an answer knows: the header `Gitops-Position` names the newest entry, and
//! the parameter `at_least` waits for one. Both belong to the routes that show what is recorded, as the
//! list of routes says.
//!
//! The number is the answer's own: everything up to it counts in what is shown (as far as the question
//! asks for it), and no receipt that went out before the request is behind it. It is no part of the
//! body, so neither of the ETag.

use super::problem::Problem;
use crate::board::Board;
use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use std::time::Duration;

/// The newest entry that an answer knows; 0 if there is none.
pub const POSITION: HeaderName = HeaderName::from_static("gitops-position");
/// The parameter that names the entry which an answer must know.
pub const AT_LEAST: &str = "at_least";
/// How long an entry is waited for.
const WAIT: Duration = Duration::from_secs(1);

/// Says on an answer what it knows.
pub fn named(mut response: HttpResponse, position: u64) -> HttpResponse {
    response.headers_mut().insert(POSITION, HeaderValue::from(position));
    response
}

/// What the answer to a write knows: the history as it was before, and the entries of its receipts.
pub fn of_receipts(before: u64, ids: impl Iterator<Item = u64>) -> u64 {
    ids.fold(before, u64::max)
}

/// Waits for the entry that a query asks for with `at_least`. Meanwhile nothing is held but the
/// connection: no lane, no reader of the database, no body.
///
/// Errors: 400 for what is no id, 503 if the entry is not there in time.
pub async fn awaited(query: &str, board: &Board) -> Result<(), Problem> {
    known(query, board, async { tokio::time::sleep(WAIT).await }).await
}

async fn known(
    query: &str,
    board: &Board,
    time_is_up: impl Future<Output = ()>,
) -> Result<(), Problem> {
    let Some(id) = asked(query)? else { return Ok(()) };
    tokio::select! {
        biased;
        () = board.reaches(id) => Ok(()),
        () = time_is_up => Err(Problem::behind(id, board.size())),
    }
}

/// The parameter `at_least` of a query; an empty value is none.
fn asked(query: &str) -> Result<Option<u64>, Problem> {
    if query.is_empty() {
        return Ok(None);
    }
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut values = pairs.filter(|(name, value)| name == AT_LEAST && !value.is_empty());
    let Some((_, text)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid_parameter(AT_LEAST, "may be given once"));
    }
    // A number may have a sign; an id has none.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|id| digits && i64::try_from(*id).is_ok());
    let wrong = || {
        let message = format!("must be an entry's id: digits only, at most {}", i64::MAX);
        Problem::invalid_parameter(AT_LEAST, message)
    };
    id.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use futures_util::future::poll_immediate;

    #[tokio::test]
    async fn what_is_there_is_not_waited_for() {
        let board = Board::default();
        board.publish([], None, 6);
        for there in ["", "at_least=", "at_least=0", "host=a&at_least=6", "at%5Fleast=1"] {
            // Time is up before it has begun.
            known(there, &board, std::future::ready(())).await.unwrap();
        }
        let late = known("at_least=7", &board, std::future::ready(())).await.unwrap_err();
        assert_eq!((late.status_code().as_u16(), late.kind()), (503, "behind"));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_entry_comes() {
        let board = Board::default();
        board.publish([], None, 6);
        let waiting = known("at_least=8", &board, std::future::pending());
        let mut waiting = std::pin::pin!(waiting);
        for size in [7, 8] {
            assert!(poll_immediate(waiting.as_mut()).await.is_none());
            board.publish([], None, size);
        }
        waiting.await.unwrap();
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for wrong in ["x", "-1", "+1", "1.0", "1e3", "0x1", " 1", "9223372036854775808", "１"] {
            let text: String = form_urlencoded::byte_serialize(wrong.as_bytes()).collect();
            let problem = asked(&format!("at_least={text}")).unwrap_err();
            assert_eq!(problem.status_code().as_u16(), 400, "{wrong}");
            assert!(problem.detail().starts_with("at_least: must be"), "{}", problem.detail());
        }
        assert!(asked("at_least=1&at_least=1").is_err());
        assert_eq!(asked("at_least=9223372036854775807").unwrap(), Some(i64::MAX as u64));
    }
}
