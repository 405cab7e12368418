//! The Merkle tree over the lines (RFC 6962): leaf *id − 1* is the hash of line *id*. Hashing and
//! proofs are `tlog_tiles`'; here is how a tree grows, which of its hashes are kept, and which nodes a
//! proof is made of.

use super::line::{hex, unhex};
use std::cell::RefCell;
use std::collections::HashMap;
use tlog_tiles::{
    EMPTY_HASH, Error, HashReader, check_record, node_hash, prove_record, prove_tree,
    split_stored_hash_index, tree_hash,
};

pub use tlog_tiles::Hash;

/// Complete subtrees are kept at every so many levels: those of 256 leaves, of 65,536 …
pub const KEPT_LEVELS: u8 = 8;
/// Leaves of the smallest subtree that is kept.
pub const KEPT_LEAVES: u64 = 1 << KEPT_LEVELS;

/// A complete subtree: it has 2^`level` leaves, the first of which is leaf `n` · 2^`level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "explained above")]
pub struct Node {
    pub level: u8,
    pub n: u64,
}

impl Node {
    /// The number of its first leaf.
    pub const fn first(self) -> u64 {
        self.n << self.level
    }

    /// How many leaves it has.
    pub const fn leaves(self) -> u64 {
        1 << self.level
    }

    /// Whether its hash is kept.
    pub const fn is_kept(self) -> bool {
        self.level > 0 && self.level.is_multiple_of(KEPT_LEVELS)
    }
}

/// A tree as far as it must be known to grow: the hashes of its complete subtrees, one for each 1 in
/// its size, the largest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; adds the subtrees it completes, of those that are kept, to `kept`.
    pub fn push(&mut self, leaf: Hash, kept: &mut Vec<(Node, Hash)>) {
        self.push_subtree(0, leaf, kept);
    }

    /// Appends a complete subtree of a level; the size must be a multiple of its leaves.
    pub fn push_subtree(&mut self, level: u8, hash: Hash, kept: &mut Vec<(Node, Hash)>) {
        debug_assert!(self.size.is_multiple_of(1 << level));
        let (mut node, mut hash) = (Node { level, n: self.size >> level }, hash);
        loop {
            if node.is_kept() {
                kept.push((node, hash));
            }
            if node.n.is_multiple_of(2) {
                break;
            }
            let left = self.hashes.pop().expect("one hash for each 1 in the size");
            (node, hash) = (Node { level: node.level + 1, n: node.n / 2 }, node_hash(left, hash));
        }
        self.hashes.push(hash);
        self.size += 1 << level;
    }

    /// The hash of the whole tree.
    pub fn root(&self) -> Hash {
        let mut hashes = self.hashes.iter().rev();
        let Some(last) = hashes.next() else { return EMPTY_HASH };
        hashes.fold(*last, |right, left| node_hash(*left, right))
    }

    /// As text: 64 hex digits for each hash.
    pub fn to_text(&self) -> String {
        self.hashes.iter().map(|hash| hex(&hash.0)).collect()
    }

    /// Reads the text of a tree of this size; `None` if it cannot be one.
    pub fn from_text(size: u64, text: &str) -> Option<Self> {
        let hashes: Vec<Hash> = text
            .as_bytes()
            .chunks(64)
            .map(|digits| unhex(digits).map(Hash))
            .collect::<Option<_>>()?;
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }
}

/// The hash of a complete subtree out of its nodes of one level; their number is a power of two.
pub fn fold(mut nodes: Vec<Hash>) -> Hash {
    while nodes.len() > 1 {
        nodes = nodes.chunks(2).map(|pair| node_hash(pair[0], pair[1])).collect();
    }
    nodes[0]
}

/// Something that can be worked out from a few nodes of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// That a leaf (counted from 0) is in the tree of a size.
    Inclusion {
        /// The leaf.
        leaf: u64,
        /// The tree.
        size: u64,
    },
    /// That the tree of one size is the beginning of the tree of another.
    Consistency {
        /// The smaller size, at least 1.
        from: u64,
        /// The other one, not smaller.
        to: u64,
    },
    /// The root of the tree of a size.
    Root(u64),
}

/// Nodes and their hashes.
pub type Nodes = HashMap<Node, Hash>;

impl Question {
    /// The nodes that [`Question::answer`] needs.
    pub fn nodes(self) -> Vec<Node> {
        let asked = Asked(RefCell::default());
        // The answer is nonsense here; what it asked for on its way is not.
        let _ = self.ask(&asked);
        asked.0.into_inner()
    }

    /// The hashes of a proof, in the order of RFC 6962 (2.1.1 and 2.1.2), or the one root. Fails if
    /// the question makes no sense or a node is missing.
    pub fn answer(self, nodes: &Nodes) -> Result<Vec<Hash>, Error> {
        self.ask(&Known(nodes))
    }

    fn ask<R: HashReader>(self, reader: &R) -> Result<Vec<Hash>, Error> {
        match self {
            Self::Inclusion { leaf, size } => prove_record(size, leaf, reader),
            Self::Consistency { from, to } => prove_tree(to, from, reader),
            Self::Root(size) => tree_hash(size, reader).map(|root| vec![root]),
        }
    }
}

/// Notes which nodes are asked for.
struct Asked(RefCell<Vec<Node>>);

impl HashReader for Asked {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.borrow_mut().extend(indexes.iter().map(|index| node(*index)));
        Ok(vec![Hash::default(); indexes.len()])
    }
}

/// Gives nodes that are known.
struct Known<'n>(&'n Nodes);

impl HashReader for Known<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let hashes = indexes.iter().map(|index| self.0.get(&node(*index)).copied());
        hashes.collect::<Option<_>>().ok_or(Error::IndexesNotInTree)
    }
}

/// Whether a proof leads from a leaf to a root.
pub fn check_inclusion(proof: &[Hash], size: u64, root: Hash, leaf: u64, hash: Hash) -> bool {
    check_record(&proof.to_vec(), size, root, leaf, hash).is_ok()
}

fn node(index: u64) -> Node {
    let (level, n) = split_stored_hash_index(index);
    Node { level, n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use tlog_tiles::{check_tree, record_hash, stored_hashes};

    /// RFC 6962, 2.1, word by word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash(Sha256::digest(b"").into()),
            [one] => *one,
            many => {
                let split = many.len().next_power_of_two() / 2;
                let (left, right) = (defined(&many[..split]), defined(&many[split..]));
                let parts = Sha256::new().chain_update([1]).chain_update(left.0);
                Hash(parts.chain_update(right.0).finalize().into())
            }
        }
    }

    #[test]
    fn a_frontier_is_the_tree_of_the_definition() {
        let (mut frontier, mut leaves, mut kept) = (Frontier::default(), Vec::new(), Vec::new());
        for n in 0..1030_u32 {
            assert_eq!(frontier.root(), defined(&leaves), "{n}");
            let text = frontier.to_text();
            assert_eq!(Frontier::from_text(u64::from(n), &text).as_ref(), Some(&frontier));
            leaves.push(record_hash(&n.to_be_bytes()));
            frontier.push(leaves[n as usize], &mut kept);
        }
        let mut blocks = Vec::new();
        for (n, block) in leaves.chunks_exact(256).enumerate() {
            blocks.push((Node { level: 8, n: n as u64 }, defined(block)));
        }
        assert_eq!(kept, blocks);
        assert_eq!(fold(leaves[..512].to_vec()), defined(&leaves[..512]));
        assert_eq!(Frontier::from_text(3, "00"), None);
    }

    /// The vectors of the CT implementations' tests, which the RFC's authors published.
    #[test]
    fn known_trees_have_their_known_roots() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(hex(&frontier.root().0), hex(&Sha256::digest(b"")));
        for (input, root) in inputs.iter().zip(roots) {
            frontier.push(record_hash(input), &mut Vec::new());
            assert_eq!(hex(&frontier.root().0), root);
        }
    }

    #[test]
    fn the_library_sees_the_same_tree() {
        struct Stored(RefCell<Vec<Hash>>);
        impl HashReader for Stored {
            fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
                let stored = self.0.borrow();
                Ok(indexes.iter().map(|index| stored[*index as usize]).collect())
            }
        }
        let (stored, mut frontier) = (Stored(RefCell::default()), Frontier::default());
        for n in 0..600_u64 {
            let new = stored_hashes(n, &n.to_be_bytes(), &stored).unwrap();
            stored.0.borrow_mut().extend(new);
            frontier.push(record_hash(&n.to_be_bytes()), &mut Vec::new());
            assert_eq!(tree_hash(n + 1, &stored).unwrap(), frontier.root());
        }
    }

    #[test]
    fn whole_subtrees_may_be_appended() {
        let (mut leaf_by_leaf, mut by_subtrees) = (Frontier::default(), Frontier::default());
        let (mut kept, mut also_kept) = (Vec::new(), Vec::new());
        for n in 0..66_000_u32 {
            leaf_by_leaf.push(record_hash(&n.to_be_bytes()), &mut kept);
            if let Some((Node { level: 8, .. }, hash)) =
                kept.iter().rfind(|(node, _)| node.level == 8)
                && leaf_by_leaf.size().is_multiple_of(256)
            {
                by_subtrees.push_subtree(8, *hash, &mut also_kept);
                assert_eq!(leaf_by_leaf, by_subtrees);
            }
        }
        assert_eq!(kept, also_kept);
        assert_eq!(kept.last().map(|(node, _)| *node), Some(Node { level: 8, n: 256 }));
        assert!(kept.iter().any(|(node, _)| *node == Node { level: 16, n: 0 }));
    }

    #[test]
    fn proofs_come_from_the_nodes_they_name() {
        let leaves: Vec<Hash> = (0..300_u32).map(|n| record_hash(&n.to_be_bytes())).collect();
        let nodes = |question: Question| -> Nodes {
            let hash = |node: Node| {
                let first = node.first() as usize;
                fold(leaves[first..first + node.leaves() as usize].to_vec())
            };
            question.nodes().into_iter().map(|node| (node, hash(node))).collect()
        };
        let answer = |question: Question| question.answer(&nodes(question)).unwrap();
        for size in [1_u64, 2, 3, 7, 8, 255, 256, 257, 300] {
            let root = defined(&leaves[..size as usize]);
            assert_eq!(answer(Question::Root(size)), [root]);
            for leaf in 0..size {
                let proof = answer(Question::Inclusion { leaf, size });
                check_record(&proof, size, root, leaf, leaves[leaf as usize]).unwrap();
            }
            for from in 1..=size {
                let proof = answer(Question::Consistency { from, to: size });
                let old = defined(&leaves[..from as usize]);
                check_tree(&proof, size, root, from, old).unwrap();
            }
        }
        assert!(Question::Inclusion { leaf: 3, size: 3 }.answer(&Nodes::new()).is_err());
        assert!(Question::Inclusion { leaf: 1, size: 3 }.answer(&Nodes::new()).is_err());
        assert_eq!(Question::Root(0).answer(&Nodes::new()).unwrap(), [EMPTY_HASH]);
    }
}
