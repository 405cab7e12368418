//! Work that takes every processor: the whole history read and worked through by several threads, each
//! with a connection of its own.

use std::future::Future;
use tokio::sync::oneshot;

/// Is told of long work now and then: how much is done, of how much.
pub type Progress<'p> = &'p (dyn Fn(u64, u64) + Send + Sync);

/// How many threads share such work.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs work on a thread of its own; answers what comes of it, or that it broke off.
pub async fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, sqlx::Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let (sender, answer) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(work()),
            Err(error) => Err(sqlx::Error::Io(error)),
        };
        // Nobody listens any more if this fails.
        let _ = sender.send(done);
    });
    answer.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
