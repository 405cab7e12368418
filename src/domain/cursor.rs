//! The cursor of `/history`: an opaque text that lets a walk go on where a page ended, over the
//! same rows as its first page.
//!
//! It holds the position, the newest id of the first page, the resolved time window, and digests of
//! the filters; the last four bytes are a checksum, so that a cut or mistyped cursor is noticed.

use super::place::Place;
use super::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last row of the page before.
    pub after: Place,
    /// The newest id when the walk began; newer rows are left out.
    pub as_of: u64,
    /// Inclusive lower bound, resolved when the walk began.
    pub from: Option<Timestamp>,
    /// Exclusive upper bound, resolved when the walk began.
    pub to: Option<Timestamp>,
    /// Digest of filters and order.
    pub filters: FilterDigest,
}

/// First 8 bytes of the SHA-256 over the filters and the order as asked for.
pub type FilterDigest = [u8; 8];

/// Why a text is not a cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this server; take next_cursor from the page before, unchanged")]
pub struct CursorError;

const VERSION: u8 = 1;
const BODY_BYTES: usize = 1 + 8 * 6;
const CHECKSUM_BYTES: usize = 4;
/// Stands for a missing bound; no accepted time is negative.
const NO_BOUND: i64 = -1;

impl Cursor {
    /// The text form, safe in a URL.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(BODY_BYTES + CHECKSUM_BYTES);
        bytes.push(VERSION);
        let bound = |time: Option<Timestamp>| time.map_or(NO_BOUND, |time| time.0);
        bytes.extend(self.after.time.0.to_be_bytes());
        bytes.extend(self.after.id.to_be_bytes());
        bytes.extend(self.as_of.to_be_bytes());
        bytes.extend(bound(self.from).to_be_bytes());
        bytes.extend(bound(self.to).to_be_bytes());
        bytes.extend(self.filters);
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text form back.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (body, sum) = bytes.split_at_checked(BODY_BYTES).ok_or(CursorError)?;
        if body[0] != VERSION || sum != checksum(body) {
            return Err(CursorError);
        }
        let word = |index: usize| -> [u8; 8] {
            let start = 1 + index * 8;
            body[start..start + 8].try_into().expect("the length was checked")
        };
        let bound = |index| match i64::from_be_bytes(word(index)) {
            NO_BOUND => None,
            micros => Some(Timestamp(micros)),
        };
        Ok(Self {
            after: Place {
                time: Timestamp(i64::from_be_bytes(word(0))),
                id: u64::from_be_bytes(word(1)),
            },
            as_of: u64::from_be_bytes(word(2)),
            from: bound(3),
            to: bound(4),
            filters: word(5),
        })
    }
}

/// Digest of the filters and the order as asked for.
pub fn filter_digest(canonical: &str) -> FilterDigest {
    Sha256::digest(canonical)[..8].try_into().expect("a SHA-256 has 32 bytes")
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    Sha256::digest(body)[..CHECKSUM_BYTES].try_into().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        let bound = || prop::option::of((0..i64::MAX).prop_map(Timestamp));
        (any::<(i64, u64, u64)>(), bound(), bound(), any::<[u8; 8]>()).prop_map(
            |((time, id, as_of), from, to, filters)| Cursor {
                after: Place { time: Timestamp(time), id },
                as_of,
                from,
                to,
                filters,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(cursor in any_cursor()) {
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,90}") {
            let _ = Cursor::decode(&text);
        }

        #[test]
        fn a_changed_character_is_noticed(
            cursor in any_cursor(), at in 0..70_usize, to in "[A-Za-z0-9_-]"
        ) {
            let text = cursor.encode();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &to);
            // The last character holds spare bits, which the decoder refuses unless zero.
            prop_assert!(changed == text || Cursor::decode(&changed).is_err());
        }
    }
}
