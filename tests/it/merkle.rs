//! The Merkle tree as an outsider sees it: everything is worked out anew here from the lines, by the
//! words of RFC 6962 and RFC 9162, with nothing of the program's.

use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

pub fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub fn unhex(text: &str) -> Hash {
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

pub fn leaf(line: &str) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// RFC 6962, 2.1.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        many => {
            let split = many.len().next_power_of_two() / 2;
            node(&root(&many[..split]), &root(&many[split..]))
        }
    }
}

/// RFC 9162, 2.1.3.2: the root that an inclusion proof leads to.
pub fn through_inclusion(mut at: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Hash {
    let (mut last, mut hash) = (size - 1, leaf);
    for sibling in proof {
        assert!(last > 0, "the proof is too long");
        if at % 2 == 1 || at == last {
            hash = node(sibling, &hash);
            while at.is_multiple_of(2) && at > 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            hash = node(&hash, sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    assert_eq!(last, 0, "the proof is too short");
    hash
}

/// RFC 9162, 2.1.4.2: the two roots that a consistency proof leads to.
pub fn through_consistency(from: u64, to: u64, old: Hash, proof: &[Hash]) -> (Hash, Hash) {
    if from == to {
        assert!(proof.is_empty());
        return (old, old);
    }
    let mut path = proof.to_vec();
    if from.is_power_of_two() {
        path.insert(0, old);
    }
    let (mut f, mut s) = (from - 1, to - 1);
    while f % 2 == 1 {
        (f, s) = (f / 2, s / 2);
    }
    let (mut first, mut second) = (path[0], path[0]);
    for hash in &path[1..] {
        assert!(s > 0, "the proof is too long");
        if f % 2 == 1 || f == s {
            (first, second) = (node(hash, &first), node(hash, &second));
            while f.is_multiple_of(2) && f > 0 {
                (f, s) = (f / 2, s / 2);
            }
        } else {
            second = node(&second, hash);
        }
        (f, s) = (f / 2, s / 2);
    }
    assert_eq!(s, 0, "the proof is too short");
    (first, second)
}
