//! Seeing to it that all of a history can be read by host, for commands that have no recorder.

use super::Failure;
use crate::domain::shown::ShowPath as _;
use crate::store::{
    Dictionary, Hold, Location, OpenError, Role, Writer, refuse_strange_triggers, settled_of,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a running server is given to settle what it has recorded, which takes it some seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one looks meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until everything recorded so far is settled; after a crash, settles it. If that cannot be
/// done, says what will be missing.
pub async fn see_to_it(location: &Location, dictionary: &Arc<Dictionary>) -> Result<(), Failure> {
    let (size, mut settled) = settled_of(location).await?;
    if settled == size {
        return Ok(());
    }
    match Hold::take(location, Role::Prepare).await {
        Ok(_hold) => {
            refuse_strange_triggers(location).await?;
            let (mut writer, _) = Writer::open(location, dictionary.clone(), "").await?;
            writer.settle_all().await?;
            writer.close().await?;
            settled = settled_of(location).await?.1;
        }
        Err(OpenError::Held { .. }) => {
            let begun = Instant::now();
            while settled < size && begun.elapsed() < PATIENCE {
                tokio::time::sleep(LOOK).await;
                settled = settled_of(location).await?.1;
            }
        }
        Err(_) => {}
    }
    if settled < size {
        super::say::aside(&format!(
            "warning: entries {} to {size} cannot be looked at by host yet: nobody could write to {}",
            settled + 1,
            location.path.shown()
        ));
    }
    Ok(())
}
