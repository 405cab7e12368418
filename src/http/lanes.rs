//! Where answers are worked out that would hold an HTTP worker up: threads of their own, a few for each
//! kind of question. A worker answers everybody else meanwhile.
//!
//! Whoever asks for little does not wait for those who ask for much: each width is a lane, and so is
//! what comes out of memory. As many
//! answers are worked out at once as a lane has connections to the database, which bounds the memory
//! that they take before they are counted (`flight`).

use super::flight::Flight;
use super::problem::Problem;
use super::respond::{Prepared, Wishes};
use crate::views::{ReadError, Width};
use actix_web::HttpRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// Answers that are worked out at once in each lane; also connections to the database of each width.
pub const LANE_ANSWERS: usize = 3;
/// How long a question waits for its turn before it is said that too many ask at once.
const WAIT: Duration = Duration::from_secs(2);
/// How long an answer waits that has begun: a stream would break off.
const FURTHER_WAIT: Duration = Duration::from_mins(1);

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What every host is, out of memory.
    Board,
    /// What the database is asked.
    Database(Width),
}

/// The lanes, and the room for what comes out of them.
#[derive(Debug)]
pub struct Lanes {
    board: Places,
    small: Places,
    host: Places,
    wide: Places,
    /// What answers hold in flight.
    pub flight: Flight,
}

/// Places for those who are worked for.
#[derive(Debug)]
struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LANE_ANSWERS)))
    }
}

impl Default for Lanes {
    fn default() -> Self {
        let (board, small, host, wide) = Default::default();
        Self { board, small, host, wide, flight: Flight::default() }
    }
}

impl Lanes {
    /// Makes the body of an answer and all that goes with it (hash, gzip), and room for it in flight.
    pub async fn prepare<T: Send + 'static>(
        &self,
        lane: Lane,
        request: &HttpRequest,
        body: impl AsyncFnOnce() -> Result<(Vec<u8>, T), Problem> + Send + 'static,
    ) -> Result<(Prepared, T), Problem> {
        let (wishes, flight) = (Wishes::of(request), self.flight.clone());
        let making = async move || {
            let (body, more) = body().await?;
            let prepared = Prepared::new(body);
            let bytes = prepared.make_for(&wishes);
            // Whoever waits for room holds the lane up: nothing further is made that has none.
            Ok((prepared.holding(flight.whole(bytes).await?), more))
        };
        self.work(lane, making).await
    }

    /// Works something out.
    pub async fn work<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl AsyncFnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.places(lane).run(WAIT, work).await
    }

    /// The same for an answer that has begun.
    pub async fn work_further<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl AsyncFnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.places(lane).run(FURTHER_WAIT, work).await
    }

    const fn places(&self, lane: Lane) -> &Places {
        match lane {
            Lane::Board => &self.board,
            Lane::Database(Width::Small) => &self.small,
            Lane::Database(Width::Host) => &self.host,
            Lane::Database(Width::Wide) => &self.wide,
        }
    }
}

impl Places {
    async fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl AsyncFnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = tokio::time::timeout(wait, self.0.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| ReadError::Busy)?.map_err(|_| ReadError::cancelled())?;
        let (mut asker, answer) = oneshot::channel();
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let outcome = runtime.block_on(async {
                tokio::select! {
                    // Looked at first: at the server's end its timers end with whoever asks.
                    biased;
                    () = asker.closed() => None,
                    outcome = work() => Some(outcome),
                }
            });
            // Before anybody hears of it: who asks again finds the lane free.
            drop(permit);
            outcome.map(|outcome| asker.send(outcome))
        });
        answer.await.map_err(|_| ReadError::cancelled())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Lane = Lane::Database(Width::Wide);
    const SMALL: Lane = Lane::Database(Width::Small);

    #[tokio::test]
    async fn a_lane_works_on_few_answers_at_once_and_holds_no_other_lane_up() {
        let lanes = Lanes::default();
        let (held, free) = std::sync::mpsc::channel::<()>();
        let free = Arc::new(std::sync::Mutex::new(free));
        let stuck: Vec<_> = (0..LANE_ANSWERS)
            .map(|_| {
                let free = free.clone();
                lanes.work(WIDE, async move || {
                    // As long as an answer that computes and never waits.
                    let _ = free.lock().unwrap().recv();
                    Ok(())
                })
            })
            .collect();
        let stuck = futures_util::future::join_all(stuck);
        let others = async {
            let further = lanes.places(WIDE).run(Duration::from_millis(1), async || Ok(()));
            assert!(further.await.is_err(), "there is no room");
            for lane in [Lane::Board, SMALL, Lane::Database(Width::Host)] {
                lanes.work(lane, async || Ok(())).await.unwrap();
            }
            drop(held);
        };
        let (ended, ()) = tokio::join!(stuck, others);
        assert!(ended.iter().all(Result::is_ok));
        lanes.work(WIDE, async || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_gives_its_place_back() {
        let lanes = Lanes::default();
        for _ in 0..LANE_ANSWERS {
            let forever = lanes.work(SMALL, async || {
                std::future::pending::<()>().await;
                Ok(())
            });
            assert!(tokio::time::timeout(Duration::from_millis(1), forever).await.is_err());
        }
        lanes.work(SMALL, async || Ok(())).await.unwrap();
    }
}
