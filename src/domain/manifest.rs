//! What makes an export of some entries provable: the hashes of what it leaves out, and a signed
//! checkpoint that all of it together leads to.

use super::line::{hex, unhex};
use super::tree::{Frontier, Hash, Node};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the format.
pub const VERSION: u32 = 1;

/// A manifest, as it stands beside the export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub manifest: u32,
    /// The history's name.
    pub origin: String,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// The public keys of those who signed it, as the exporting side says: compare them with what
    /// came to you by another way.
    pub keys: Vec<String>,
    /// The filters of the export.
    pub filter: BTreeMap<String, Vec<String>>,
    /// SHA-256 of the file's bytes, 64 hex digits.
    pub sha256: String,
    /// How many lines the file has.
    pub lines: u64,
    /// The ids of its lines: first and last of each unbroken run.
    pub ids: Vec<(u64, u64)>,
    /// What is left out: the first id, how many entries (a power of two), and the hash of the subtree
    /// over them, 64 hex digits.
    pub omitted: Vec<(u64, u64, String)>,
}

/// The unbroken runs of sorted ids.
pub fn runs(ids: &[u64]) -> Vec<(u64, u64)> {
    let runs = ids.chunk_by(|a, b| a + 1 == *b);
    runs.map(|run| (run[0], run[run.len() - 1])).collect()
}

/// The largest complete subtrees of a tree that hold none of some leaves (counted from 0, sorted).
pub fn without(size: u64, leaves: &[u64]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = 0;
    for end in leaves.iter().copied().chain([size]) {
        while at < end {
            let level = at.trailing_zeros().min((end - at).ilog2()) as u8;
            nodes.push(Node { level, n: at >> level });
            at += 1 << level;
        }
        at = end + 1;
    }
    nodes
}

/// As it stands in a manifest.
pub fn omitted(node: Node, hash: Hash) -> (u64, u64, String) {
    (node.first() + 1, node.leaves(), hex(&hash.0))
}

/// The tree that some leaves (id and hash, sorted by id) and what is omitted make together.
#[derive(Debug, Clone, PartialEq)]
pub struct Together {
    /// Its entries.
    pub size: u64,
    /// Its roots at the sizes that were asked for, where one can be told: not amid what is omitted.
    pub roots: BTreeMap<u64, Hash>,
}

/// Puts leaves and what is omitted together; `sizes`: where the root is wanted. An error names the id at
/// which they do not fit.
pub fn together(
    leaves: impl Iterator<Item = (u64, Hash)>,
    omitted: &[(u64, u64, String)],
    sizes: &BTreeSet<u64>,
) -> Result<Together, u64> {
    let (mut tree, mut kept, mut roots) = (Frontier::default(), Vec::new(), BTreeMap::new());
    let mut leaves = leaves.peekable();
    let mut omitted = omitted.iter().peekable();
    loop {
        if sizes.contains(&tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
        let next = tree.size() + 1;
        if let Some((_, leaf)) = leaves.next_if(|(id, _)| *id == next) {
            tree.push(leaf, &mut kept);
        } else if let Some((_, count, hash)) = omitted.next_if(|(first, ..)| *first == next) {
            let ends =
                tree.size().checked_add(*count).is_some_and(|end| i64::try_from(end).is_ok());
            let fits = ends && count.is_power_of_two() && tree.size().is_multiple_of(*count);
            let hash = unhex(hash).map(Hash).filter(|_| fits).ok_or(next)?;
            tree.push_subtree(count.trailing_zeros() as u8, hash, &mut kept);
        } else if leaves.peek().is_none() && omitted.peek().is_none() {
            return Ok(Together { size: tree.size(), roots });
        } else {
            return Err(next);
        }
        kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tree::fold;
    use proptest::prelude::*;
    use tlog_tiles::record_hash;

    fn leaf(n: u64) -> Hash {
        record_hash(&n.to_be_bytes())
    }

    proptest! {
        #[test]
        fn what_is_left_out_and_what_is_there_make_the_tree(
            size in 1_u64..700, chosen in proptest::collection::btree_set(0_u64..700, 0..40),
        ) {
            let chosen: Vec<u64> = chosen.into_iter().filter(|leaf| *leaf < size).collect();
            let mut tree = Frontier::default();
            (0..size).for_each(|n| tree.push(leaf(n), &mut Vec::new()));
            let nodes = without(size, &chosen);
            let hash = |node: &Node| {
                let leaves = node.first()..node.first() + node.leaves();
                omitted(*node, fold(leaves.map(leaf).collect()))
            };
            let mut left_out: Vec<_> = nodes.iter().map(hash).collect();
            let there = || chosen.iter().map(|n| (n + 1, leaf(*n)));
            let all = BTreeSet::from([size]);
            let roots = BTreeMap::from([(size, tree.root())]);
            prop_assert_eq!(together(there(), &left_out, &all), Ok(Together { size, roots }));
            let runs = runs(&chosen);
            prop_assert_eq!(runs.iter().map(|(a, b)| b - a + 1).sum::<u64>(), chosen.len() as u64);
            // Nothing can be said with one piece missing in the middle.
            if left_out.len() > 1 {
                let gone = left_out.remove(0);
                prop_assert_eq!(together(there(), &left_out, &all), Err(gone.0));
            }
        }
    }

    #[test]
    fn pieces_that_do_not_fit_are_named() {
        let hash = "00".repeat(32);
        for (pieces, at) in [
            (vec![(2, 1, hash.clone())], 1),
            (vec![(1, 3, hash.clone())], 1),
            (vec![(1, 1, hash.clone()), (2, 2, hash.clone())], 2),
            (vec![(1, 1, "zz".into())], 1),
            (vec![(1, 2, hash.clone()), (2, 1, hash.clone())], 3),
        ] {
            assert_eq!(together([].into_iter(), &pieces, &BTreeSet::new()), Err(at), "{pieces:?}");
        }
    }
}
