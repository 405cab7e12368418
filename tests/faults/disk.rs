//! A disk that is cut off: the recorded writes of a server, replayed up to some moment. What was synced is
//! there. What was written since is there, or not, or in part, as chance has it.
//!
//! Stricter than most file systems: a new name or a removed one is certain only when its folder was synced;
//! without that, names come and go in their order, and bytes of different writes in any order.

use crate::run::{Chance, Failure, ensure};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

/// What a disk tears at most: it writes a sector whole or not at all.
const SECTOR: usize = 512;
/// Bytes of a record's head, see `struct record` in `shim.c`.
const HEAD: usize = 24;

/// What a server did, in order.
pub struct Recording {
    bytes: Vec<u8>,
    pub events: Vec<Event>,
}

/// One thing it did. Ranges are places in the recording's bytes.
#[derive(Debug, Clone)]
pub enum Event {
    Opened {
        inode: u64,
        path: String,
        emptied: bool,
    },
    Wrote {
        inode: u64,
        at: usize,
        data: Range<usize>,
    },
    Cut {
        inode: u64,
        size: usize,
    },
    SyncBegan {
        inode: u64,
    },
    SyncEnded {
        inode: u64,
    },
    FolderSynced,
    Renamed {
        from: String,
        to: String,
    },
    Removed {
        path: String,
    },
    /// Answered 200, with these receipts.
    Acknowledged(Vec<(u64, String)>),
}

impl Recording {
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Failure> {
        let (mut events, mut at) = (Vec::new(), 0);
        while at + HEAD <= bytes.len() {
            let word = |from: usize| {
                u64::from_le_bytes(bytes[at + from..at + from + 8].try_into().unwrap())
            };
            let (kind, length) = ((word(0) & 0xFF) as u8, (word(0) >> 32) as usize);
            let (inode, number) = (word(8), word(16) as usize);
            let data = at + HEAD..at + HEAD + length;
            ensure!(data.end <= bytes.len(), "the recording ends in the middle of a record");
            let text = || String::from_utf8_lossy(&bytes[data.clone()]).into_owned();
            at = data.end;
            events.push(match kind {
                b'o' => Event::Opened { inode, path: text(), emptied: number != 0 },
                b'w' => Event::Wrote { inode, at: number, data },
                b't' => Event::Cut { inode, size: number },
                b's' => Event::SyncBegan { inode },
                b'e' => Event::SyncEnded { inode },
                b'd' => Event::FolderSynced,
                b'u' => Event::Removed { path: text() },
                b'r' => {
                    let both = text();
                    let (from, to) = both.split_once('\0').ok_or("a renaming without two names")?;
                    Event::Renamed { from: from.to_owned(), to: to.to_owned() }
                }
                b'a' => Event::Acknowledged(receipts(&text())),
                other => return Err(format!("a record of kind {other}").into()),
            });
        }
        Ok(Self { bytes, events })
    }

    /// Every receipt in an answer.
    pub fn acknowledged(&self) -> usize {
        let receipts = self.events.iter().map(|event| match event {
            Event::Acknowledged(receipts) => receipts.len(),
            _ => 0,
        });
        receipts.sum()
    }
}

/// The receipts in an answer to a POST.
fn receipts(answer: &str) -> Vec<(u64, String)> {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let one = [body["report"].clone()];
    let list = body["reports"].as_array().map_or(&one[..], |list| &list[..]);
    let receipt = |receipt: &serde_json::Value| {
        Some((receipt["id"].as_str()?.parse().ok()?, receipt["hash"].as_str()?.to_owned()))
    };
    list.iter().filter_map(receipt).collect()
}

/// A change of a file that is not certain yet.
#[derive(Debug, Clone)]
enum Change {
    Bytes(usize, Range<usize>),
    Size(usize),
}

/// A change of the folder that is not certain yet.
#[derive(Debug, Clone)]
enum Naming {
    Add(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct Content {
    certain: Vec<u8>,
    pending: Vec<Change>,
    /// How many of the pending changes the sync that is under way covers.
    covered: usize,
}

/// The disk at one moment of a recording.
#[derive(Debug, Default)]
pub struct Disk {
    files: Vec<Content>,
    by_inode: HashMap<u64, usize>,
    /// As the server sees them.
    names: BTreeMap<String, usize>,
    certain_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
    pub syncs: u64,
}

impl Disk {
    /// Lets the next event happen.
    pub fn follow(&mut self, recording: &Recording, event: &Event) {
        match event {
            Event::Opened { inode, path, emptied } => {
                let known =
                    self.names.get(path).filter(|file| self.by_inode.get(inode) == Some(*file));
                if known.is_none() {
                    let file = self.files.len();
                    self.files.push(Content::default());
                    self.by_inode.insert(*inode, file);
                    self.name(Naming::Add(path.clone(), file));
                } else if *emptied {
                    self.file(*inode).pending.push(Change::Size(0));
                }
            }
            Event::Wrote { inode, at, data } => {
                self.file(*inode).pending.push(Change::Bytes(*at, data.clone()));
            }
            Event::Cut { inode, size } => self.file(*inode).pending.push(Change::Size(*size)),
            Event::SyncBegan { inode } => {
                let file = self.file(*inode);
                file.covered = file.pending.len();
            }
            Event::SyncEnded { inode } => {
                self.syncs += 1;
                let file = self.file(*inode);
                for change in file.pending.drain(..file.covered) {
                    apply(&mut file.certain, &change, &recording.bytes);
                }
                file.covered = 0;
            }
            Event::FolderSynced => {
                self.certain_names.clone_from(&self.names);
                self.pending_names.clear();
            }
            Event::Renamed { from, to } => self.name(Naming::Rename(from.clone(), to.clone())),
            Event::Removed { path } => self.name(Naming::Remove(path.clone())),
            Event::Acknowledged(_) => {}
        }
    }

    fn file(&mut self, inode: u64) -> &mut Content {
        &mut self.files[self.by_inode[&inode]]
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.pending_names.push(naming);
    }

    /// Writes into a folder what a cut at this moment leaves, by chance.
    pub fn cut(
        &self,
        recording: &Recording,
        folder: &Path,
        chance: &mut Chance,
    ) -> std::io::Result<()> {
        let mut names = self.certain_names.clone();
        for naming in &self.pending_names[..chance.below(self.pending_names.len() + 1)] {
            rename(&mut names, naming);
        }
        let loss = Loss::by(chance);
        for (path, file) in names {
            let file = &self.files[file];
            let mut bytes = file.certain.clone();
            for change in &file.pending {
                loss.apply(&mut bytes, change, &recording.bytes, chance);
            }
            let name = Path::new(&path).file_name().expect("a file has a name");
            std::fs::write(folder.join(name), bytes)?;
        }
        Ok(())
    }
}

/// What becomes of bytes that were written and not synced.
#[derive(Debug, Clone, Copy)]
enum Loss {
    All,
    None,
    /// Every write is there or not, and now and then only some of its sectors.
    Some,
}

impl Loss {
    fn by(chance: &mut Chance) -> Self {
        [Self::All, Self::None, Self::Some, Self::Some][chance.below(4)]
    }

    fn apply(self, bytes: &mut Vec<u8>, written: &Change, from: &[u8], chance: &mut Chance) {
        match (self, written) {
            (Self::All, _) => {}
            (Self::None, written) => apply(bytes, written, from),
            (Self::Some, Change::Bytes(at, data)) if chance.once_in(4) => {
                let sectors =
                    data.clone().step_by(SECTOR).map(|start| start..data.end.min(start + SECTOR));
                for sector in sectors.filter(|_| chance.once_in(2)).collect::<Vec<_>>() {
                    apply(bytes, &Change::Bytes(at + sector.start - data.start, sector), from);
                }
            }
            (Self::Some, written) => {
                if chance.once_in(2) {
                    apply(bytes, written, from);
                }
            }
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change, from: &[u8]) {
    match change {
        Change::Size(size) => bytes.resize(*size, 0),
        Change::Bytes(at, data) => {
            let end = at + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(&from[data.clone()]);
        }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Add(path, file) => {
            names.insert(path.clone(), *file);
        }
        Naming::Remove(path) => {
            names.remove(path);
        }
        Naming::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}
