//! Checkpoints: how far the tree goes and its root, signed (C2SP tlog-checkpoint in a C2SP signed note,
//! Ed25519). Whoever holds one can tell later whether the history still begins as it did.

use super::tree::Hash;
use signed_note::{
    Note, NoteError, Signer, StandardSigner, StandardVerifier, Verifier, VerifierList, generate_key,
};
use std::fmt;
use std::sync::Arc;
use tlog_tiles::Checkpoint as Text;

/// What a signing key's line begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

/// A tree at one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The history's name.
    pub origin: Arc<str>,
    /// Its entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Why a text is not a checkpoint to rely on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum CheckpointError {
    #[error("not a checkpoint: a signed note of origin, size and root is expected")]
    Malformed,
    #[error("no signature in it is by a key that was given")]
    NobodyKnown,
    #[error("its signature is wrong: it is not what the key's owner signed")]
    WrongSignature,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum KeyError {
    #[error("line {0} is neither a signing key, a public key nor a comment")]
    Line(usize),
    #[error("no key is in it")]
    Empty,
    #[error("the signing key on line {0} has no public key behind it that fits")]
    Unpaired(usize),
    #[error("its keys are those of another history: {0}")]
    Foreign(String),
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> Vec<u8> {
        let text = Text::new(&self.origin, self.size, self.root, "");
        text.expect("an origin is not empty").to_bytes()
    }

    /// Reads a signed checkpoint. With `keys`, one of them must have signed it; without, nothing is
    /// known about who did.
    pub fn read(note: &str, keys: Option<&PublicKeys>) -> Result<Self, CheckpointError> {
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        let text = Text::from_bytes(note.text()).map_err(|_| CheckpointError::Malformed)?;
        if let Some(keys) = keys {
            // A key is of one history, which bears its name.
            note.verify(&keys.verifiers(text.origin())).map_err(|error| match error {
                NoteError::UnverifiedNote => CheckpointError::NobodyKnown,
                _ => CheckpointError::WrongSignature,
            })?;
        }
        Ok(Self { origin: text.origin().into(), size: text.size(), root: *text.hash() })
    }
}

/// Keys that sign for one history: the newest first, behind it those it replaced, which go on signing
/// so that whoever knows only them can check what is new.
pub struct SigningKeys {
    signers: Vec<StandardSigner>,
    public: Vec<String>,
}

impl SigningKeys {
    /// A new key for a history, as the two lines of a key file.
    pub fn generate(random: &mut impl rand_core::CryptoRngCore, origin: &str) -> String {
        let (private, public) = generate_key(random, origin);
        format!("{private}\n{public}\n")
    }

    /// Reads a key file: each signing key with its public key behind it; `#` begins a comment.
    pub fn parse(text: &str, origin: &str) -> Result<Self, KeyError> {
        let (mut signers, mut public) = (Vec::new(), Vec::new());
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        while let Some((at, line)) = lines.next() {
            let signer = StandardSigner::new(line).map_err(|_| KeyError::Line(at))?;
            let (_, key) = lines.next().ok_or(KeyError::Unpaired(at))?;
            let verifier = StandardVerifier::new(key).map_err(|_| KeyError::Unpaired(at))?;
            let signature = signer.sign(line.as_bytes()).map_err(|_| KeyError::Line(at))?;
            if !verifier.verify(line.as_bytes(), &signature) {
                return Err(KeyError::Unpaired(at));
            }
            if signer.name() != origin || verifier.name() != origin {
                return Err(KeyError::Foreign(signer.name().to_owned()));
            }
            signers.push(signer);
            public.push(key.to_owned());
        }
        if signers.is_empty() { Err(KeyError::Empty) } else { Ok(Self { signers, public }) }
    }

    /// The public keys, in the signed-note format, the newest first.
    pub fn public(&self) -> &[String] {
        &self.public
    }

    /// A signed checkpoint.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let mut note = Note::new(&checkpoint.text(), &[]).expect("a checkpoint is a note's text");
        let signers: Vec<&dyn Signer> = self.signers.iter().map(|s| s as &dyn Signer).collect();
        note.add_sigs(&signers).expect("an Ed25519 key signs everything");
        String::from_utf8(note.to_bytes()).expect("notes are UTF-8")
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.public).finish()
    }
}

/// Keys that signatures are checked with.
#[derive(Debug, Clone)]
pub struct PublicKeys(Vec<String>);

impl PublicKeys {
    /// Reads public keys, one on each line, or the public half of a key file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with(PRIVATE) {
                continue;
            }
            StandardVerifier::new(line).map_err(|_| KeyError::Line(at + 1))?;
            keys.push(line.to_owned());
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// Those of a history.
    fn verifiers(&self, origin: &str) -> VerifierList {
        let verifier = |key: &String| {
            StandardVerifier::new(key).ok().filter(|verifier| verifier.name() == origin)
        };
        let list = self.0.iter().filter_map(verifier).map(|v| Box::new(v) as Box<dyn Verifier>);
        VerifierList::new(list.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tree::Frontier;

    /// The example key of the signed-note implementations' documentation.
    const KEYS: &str = "# for tests\n\
        PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz\n\
        PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n";

    fn checkpoint(size: u64) -> Checkpoint {
        let mut tree = Frontier::default();
        (0..size).for_each(|n| tree.push(Hash([n as u8; 32]), &mut Vec::new()));
        Checkpoint { origin: "PeterNeumann".into(), size, root: tree.root() }
    }

    #[test]
    fn a_checkpoint_is_the_note_it_should_be_and_reads_back() {
        let keys = SigningKeys::parse(KEYS, "PeterNeumann").unwrap();
        let note = keys.sign(&checkpoint(0));
        assert!(note.starts_with(
            "PeterNeumann\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— PeterNeumann x08go"
        ));
        let public = PublicKeys::parse(KEYS).unwrap();
        for size in [0, 1, 2, 300] {
            let note = keys.sign(&checkpoint(size));
            assert_eq!(Checkpoint::read(&note, Some(&public)).unwrap(), checkpoint(size));
            assert_eq!(Checkpoint::read(&note, None).unwrap(), checkpoint(size));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let keys = SigningKeys::parse(KEYS, "PeterNeumann").unwrap();
        let public = PublicKeys::parse(&keys.public().join("\n")).unwrap();
        let note = keys.sign(&checkpoint(7)).into_bytes();
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            if let Ok(text) = String::from_utf8(changed) {
                assert!(Checkpoint::read(&text, Some(&public)).is_err(), "{text}");
            }
        }
        let other = SigningKeys::generate(&mut rand_core::OsRng, "PeterNeumann");
        let other = PublicKeys::parse(&other).unwrap();
        let read = Checkpoint::read(std::str::from_utf8(&note).unwrap(), Some(&other));
        assert!(matches!(read, Err(CheckpointError::NobodyKnown)));
    }

    #[test]
    fn the_key_of_one_history_signs_nothing_of_another() {
        let other = SigningKeys::generate(&mut rand_core::OsRng, "other");
        let forged = SigningKeys::parse(&other, "other").unwrap().sign(&checkpoint(7));
        let both = PublicKeys::parse(&format!("{KEYS}{other}")).unwrap();
        let read = Checkpoint::read(&forged, Some(&both));
        assert!(matches!(read, Err(CheckpointError::NobodyKnown)));
    }

    #[test]
    fn an_older_key_goes_on_signing_beside_the_newer_one() {
        let new = SigningKeys::generate(&mut rand_core::OsRng, "PeterNeumann");
        let both = SigningKeys::parse(&format!("{new}{KEYS}"), "PeterNeumann").unwrap();
        let note = both.sign(&checkpoint(3));
        assert_eq!(note.lines().count(), 6);
        for known in [&new, KEYS] {
            let known = PublicKeys::parse(known).unwrap();
            assert_eq!(Checkpoint::read(&note, Some(&known)).unwrap(), checkpoint(3));
        }
    }

    #[test]
    fn key_files_that_cannot_be_used_say_why() {
        let (private, public) = KEYS.split_once('\n').unwrap().1.split_once('\n').unwrap();
        let other = SigningKeys::generate(&mut rand_core::OsRng, "PeterNeumann");
        let other = other.lines().nth(1).unwrap();
        for (text, says) in [
            ("", "no key is in it"),
            ("# nothing\n", "no key is in it"),
            ("rubbish\n", "line 1 is neither"),
            (private, "on line 1 has no public key"),
            (&format!("\n{private}\n{other}\n"), "on line 2 has no public key"),
            (&format!("{public}{private}"), "line 1 is neither"),
        ] {
            let error = SigningKeys::parse(text, "PeterNeumann").unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let error = SigningKeys::parse(KEYS, "somebody").unwrap_err().to_string();
        assert!(error.ends_with("another history: PeterNeumann"), "{error}");
        assert!(!format!("{:?}", SigningKeys::parse(KEYS, "PeterNeumann")).contains("PRIVATE"));
    }
}
