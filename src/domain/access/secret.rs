//! The text of a token: `gss_`, 256 random bits in 43 digits of base 62, and their CRC-32 (IEEE, over
//! these 43 digits) in 6 more. `gss_[0-9A-Za-z]{49}` finds leaked ones, the checksum tells a typo from
//! a stranger. Tokens of other shapes are as good, if they are as hard to guess.
//!
//! A digest of 256 random bits needs no slow hash: there is nothing to guess.

use crate::domain::line::{hex, unhex};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// What our tokens begin with.
pub const PREFIX: &str = "gss_";
/// A text that is longer is nobody's token, and is not hashed.
pub const TOKEN_MAX_BYTES: usize = 1024;

const RANDOM_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The SHA-256 of a token. Not shown: what is not in a log cannot be looked up.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes a token; `None` if it is too long for one.
    pub fn of(token: &str) -> Option<Self> {
        (token.len() <= TOKEN_MAX_BYTES).then(|| Self(Sha256::digest(token.as_bytes()).into()))
    }

    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// As `TOKENS_FILE` has it.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Whether it is the same, in a time that does not depend on it.
    pub fn is(&self, other: &Self) -> bool {
        self.words()[..].ct_eq(&other.words()[..]).into()
    }

    /// Eight times faster to compare than bytes.
    fn words(&self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks();
        std::array::from_fn(|at| u64::from_ne_bytes(words[at]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// The token of 32 random bytes.
pub fn compose(random: [u8; 32]) -> String {
    let body = base62(&random, RANDOM_DIGITS);
    format!("{PREFIX}{body}{}", checksum(&body))
}

/// Whether a text has the prefix of our tokens, but is none: mistyped, or cut.
pub fn is_mistyped(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else { return false };
    let body = rest.split_at_checked(RANDOM_DIGITS);
    body.is_none_or(|(body, check)| checksum(body) != check)
}

fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECK_DIGITS)
}

/// A number, most significant byte first, in so many digits.
fn base62(number: &[u8], digits: usize) -> String {
    let mut rest = number.to_vec();
    let mut text = vec![0; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut rest {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_frozen() {
        // Worked out with Python's integers and zlib.crc32.
        assert_eq!(compose([0; 32]), "gss_00000000000000000000000000000000000000000002CZclj");
        assert_eq!(compose([255; 32]), "gss_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13sRzl1");
        assert_eq!(
            Digest::of("abc").unwrap().hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    proptest! {
        #[test]
        fn a_typo_is_noticed(random: [u8; 32], at in 4_usize..53, other in 0_usize..62) {
            let token = compose(random);
            prop_assert_eq!(token.len(), 53);
            prop_assert!(!is_mistyped(&token));
            let mut typo = token.clone().into_bytes();
            prop_assume!(typo[at] != DIGITS[other]);
            typo[at] = DIGITS[other];
            prop_assert!(is_mistyped(std::str::from_utf8(&typo).unwrap()));
            prop_assert!(is_mistyped(&token[..at]));
        }
    }

    #[test]
    fn texts_of_other_shapes_are_not_ours_to_judge() {
        for text in ["", "s3cret", "gss-x", "ghp_0"] {
            assert!(!is_mistyped(text));
        }
        for text in ["gss_", "gss_x", "gss_ü", "gss_üüüüüüüüüüüüüüüüüüüüüüüüü"]
        {
            assert!(is_mistyped(text));
        }
    }

    #[test]
    fn digests_are_64_hex_digits_and_are_not_shown() {
        let digest = Digest::of("token").unwrap();
        assert_eq!(Digest::parse(&digest.hex()), Some(digest.clone()));
        assert_eq!(Digest::parse(&digest.hex().to_uppercase()), Some(digest.clone()));
        for wrong in ["", "12", &"g".repeat(64), &"+1".repeat(32), &"0".repeat(65), &"ü".repeat(32)]
        {
            assert_eq!(Digest::parse(wrong), None);
        }
        assert!(digest.is(&digest.clone()));
        assert!(!digest.is(&Digest::of("Token").unwrap()));
        assert_eq!(format!("{digest:?}"), "Digest(…)");
        assert_eq!(Digest::of(&"x".repeat(TOKEN_MAX_BYTES + 1)), None);
    }
}
