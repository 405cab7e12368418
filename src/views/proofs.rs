//! Questions about the tree.

use super::readers::{ReadError, Readers, Width};
use crate::domain::tree::{Hash, KEPT_LEAVES, Question};
use crate::ledger::rows::hash8;
use crate::ledger::tree::{TreeHead, leaves, leaves_of, prove, rows, tree_head};

impl Readers {
    /// The tree over everything committed so far, by whomever.
    pub async fn tree_head(&self) -> Result<TreeHead, ReadError> {
        self.acquire(Width::Small).await?.ask(async |connection| tree_head(connection).await).await
    }

    /// The leaf of an entry (counted from 0), as its row is now.
    pub async fn leaf(&self, origin: &str, leaf: u64) -> Result<Hash, ReadError> {
        let mut reader = self.acquire(Width::Small).await?;
        let found = reader
            .ask(async |connection| {
                leaves(connection, self.dictionary(), origin, leaf, leaf + 1).await
            })
            .await?;
        Ok(found[0])
    }

    /// The first entry that is not what was recorded under its id, among those that the root of the
    /// first `size` entries is worked out from and whose subtrees are not kept.
    pub async fn damaged(&self, origin: &str, size: u64) -> Result<Option<u64>, ReadError> {
        let first = size / KEPT_LEAVES * KEPT_LEAVES;
        let mut reader = self.acquire_longer(Width::Small).await?;
        reader
            .ask(async |connection| {
                for row in rows(connection, first, size).await? {
                    let leaf = leaves_of(connection, self.dictionary(), origin, &[row]).await;
                    if !leaf.is_ok_and(|leaf| hash8(&leaf[0]) == row.hash8) {
                        return Ok(Some(row.id));
                    }
                }
                Ok(None)
            })
            .await
    }

    /// The hashes that answer a question about a tree that is not larger than the present one.
    pub async fn prove(&self, origin: &str, question: Question) -> Result<Vec<Hash>, ReadError> {
        let mut reader = self.acquire_longer(Width::Small).await?;
        reader
            .ask(async |connection| prove(connection, self.dictionary(), origin, question).await)
            .await
    }
}
