//! Known hosts that a person may have meant by an unknown name.
//!
//! Anybody may ask for any name, beside any number of hosts: the work of one search is bounded by
//! [`STEPS_MAX`]. Edit distances are computed for 64 characters at once, and only up to where the two
//! names are too far apart.

use super::names::{HostKey, NAME_MAX_CHARS};
use std::collections::HashMap;

/// Steps of one search, each some five nanoseconds. Then it ends with what it has found.
pub const STEPS_MAX: usize = 2_000_000;
/// Steps of looking at a name at all.
const STEPS_OF_A_LOOK: usize = 8;
/// Edits at most between names of any length: who mistypes more meant something else.
const EDITS_MAX: usize = 16;
/// How far a name is from one that it is a part of.
const PART: u32 = 6;
/// How far a host in another group is, beyond the distance of its own name.
const OTHER_GROUP: u32 = 10;

/// Up to `most` known hosts that a person may have meant by `wanted`, best first: the same host in
/// another group, a short name for a full one (or the reverse), and small typing errors.
pub fn near<'a>(
    wanted: &HostKey,
    known: impl Iterator<Item = &'a HostKey>,
    most: usize,
) -> Vec<HostKey> {
    let (best, _) = search(wanted, known, most);
    best.found.into_iter().map(|(_, key)| key.clone()).collect()
}

/// What was found so far: the nearest, in order.
struct Best<'a> {
    most: usize,
    found: Vec<(u32, &'a HostKey)>,
}

impl<'a> Best<'a> {
    /// The greatest distance that could still be among them.
    fn limit(&self) -> u32 {
        self.found.get(self.most.saturating_sub(1)).map_or(u32::MAX, |(distance, _)| *distance)
    }

    fn add(&mut self, distance: u32, key: &'a HostKey) {
        let at = self.found.partition_point(|other| *other < (distance, key));
        self.found.insert(at, (distance, key));
        self.found.truncate(self.most);
    }
}

/// The search, and how many steps it took.
fn search<'a>(
    wanted: &HostKey,
    known: impl Iterator<Item = &'a HostKey>,
    most: usize,
) -> (Best<'a>, usize) {
    let (mut best, mut steps) = (Best { most, found: Vec::new() }, 0);
    let (group, host) = (&*wanted.server_group, &*wanted.host);
    // A URL has room for names that no host can have.
    let can_be = |name: &str| !name.is_empty() && name.chars().nth(NAME_MAX_CHARS).is_none();
    if !can_be(group) || !can_be(host) {
        return (best, steps);
    }
    let mut known: Vec<&HostKey> = known.collect();
    // Should the steps not suffice for all, then for those of the group that was named.
    known.sort_by_key(|key| key.server_group != wanted.server_group);
    let (mut group, mut host) = (Wanted::new(group), Wanted::new(host));
    let mut last_group: Option<(&str, Option<u32>)> = None;
    for key in known {
        if steps > STEPS_MAX {
            break;
        }
        let of_group = match last_group {
            Some((name, distance)) if *name == *key.server_group => distance,
            _ => group.distance(&key.server_group, u32::MAX, &mut steps),
        };
        last_group = Some((&key.server_group, of_group));
        let limit = best.limit();
        let distance = match of_group {
            Some(group) => limit
                .checked_sub(group)
                .and_then(|room| Some(host.distance(&key.host, room / 2, &mut steps)? * 2 + group)),
            // The right host in a wrong group is worth showing, a similar host there is not.
            None => limit.checked_sub(OTHER_GROUP).and_then(|room| {
                Some(host.distance(&key.host, room.min(1), &mut steps)? + OTHER_GROUP)
            }),
        };
        if let Some(distance) = distance {
            best.add(distance, key);
        }
    }
    (best, steps)
}

/// A name that is compared with many.
struct Wanted<'a> {
    name: &'a str,
    lower: String,
    pattern: Pattern,
    /// The other name, in lower case.
    other: String,
}

impl<'a> Wanted<'a> {
    fn new(name: &'a str) -> Self {
        let mut lower = String::new();
        lower_case(name, &mut lower);
        let pattern = Pattern::new(&lower);
        Self { name, lower, pattern, other: String::new() }
    }

    /// How far a known name is from this one, up to `limit`; `None` when nobody would take it for the
    /// other.
    fn distance(&mut self, known: &str, limit: u32, steps: &mut usize) -> Option<u32> {
        *steps += STEPS_OF_A_LOOK;
        if self.name == known {
            return Some(0);
        }
        if limit == 0 {
            return None;
        }
        *steps += lower_case(known, &mut self.other);
        let (wanted, known) = (&*self.lower, &*self.other);
        if first_label(wanted) == first_label(known) {
            return Some(1);
        }
        if limit == 1 {
            return None;
        }
        let (ours, theirs) = (self.pattern.chars, known.chars().count());
        let mut allowed = (1 + ours.min(theirs) / 4).min(EDITS_MAX);
        if limit < PART {
            allowed = allowed.min(limit as usize - 1);
        }
        if ours.abs_diff(theirs) <= allowed
            && let Some(edits) = self.pattern.edits(known, theirs, allowed, steps)
        {
            return Some(edits as u32 + 1).filter(|distance| *distance <= limit);
        }
        if limit < PART || wanted.len() == known.len() {
            return None;
        }
        *steps += usize::midpoint(wanted.len(), known.len());
        let (short, long) =
            if wanted.len() < known.len() { (wanted, known) } else { (known, wanted) };
        long.contains(short).then_some(PART)
    }
}

/// Puts a name in lower case into `lower`; answers the steps of that.
fn lower_case(name: &str, lower: &mut String) -> usize {
    lower.clear();
    if name.is_ascii() {
        lower.push_str(name);
        lower.make_ascii_lowercase();
        return name.len() / 8;
    }
    lower.extend(name.chars().flat_map(char::to_lowercase));
    2 * lower.len()
}

/// The short name of a host.
fn first_label(name: &str) -> &str {
    name.split_once('.').map_or(name, |(first, _)| first)
}

/// A text made ready for edit distances to it, where two neighbours changing places are one edit
/// (optimal string alignment).
///
/// H. Hyyrö, *A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances* (2003): a
/// column of the matrix is kept as differences between neighbouring cells, 64 of them in a word.
struct Pattern {
    chars: usize,
    /// At which places each ASCII character stands, a bit for each place.
    ascii: Vec<[u64; 128]>,
    /// The same of other characters.
    others: HashMap<char, Vec<u64>>,
    nowhere: Vec<u64>,
    column: Vec<Cells>,
}

/// 64 cells of a column: which are greater, and which less, than the cell above; which equal their
/// diagonal neighbour; and where the column's character stands in the pattern.
#[derive(Clone, Copy)]
struct Cells {
    greater: u64,
    less: u64,
    diagonal: u64,
    places: u64,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let chars = text.chars().count();
        let words = chars.div_ceil(64);
        let mut ascii = vec![[0; 128]; words];
        let mut others = HashMap::new();
        for (at, c) in text.chars().enumerate() {
            let (word, bit) = (at / 64, 1 << (at % 64));
            if c.is_ascii() {
                ascii[word][c as usize] |= bit;
            } else {
                others.entry(c).or_insert_with(|| vec![0; words])[word] |= bit;
            }
        }
        let first = Cells { greater: !0, less: 0, diagonal: 0, places: 0 };
        Self { chars, ascii, others, nowhere: vec![0; words], column: vec![first; words] }
    }

    /// Edits between the pattern and a text of so many characters, if they are at most `most`.
    fn edits(&mut self, text: &str, chars: usize, most: usize, steps: &mut usize) -> Option<usize> {
        self.column.fill(Cells { greater: !0, less: 0, diagonal: 0, places: 0 });
        let bottom = 1_u64 << ((self.chars - 1) % 64);
        let (mut edits, mut left) = (self.chars, chars);
        for c in text.chars() {
            *steps += self.column.len();
            let ascii = c.is_ascii();
            let places =
                if ascii { &self.nowhere } else { self.others.get(&c).unwrap_or(&self.nowhere) };
            let (mut up, mut down) = (1, 0);
            let (mut at_bottom, mut swap) = ((false, false), 0);
            for (word, cells) in self.column.iter_mut().enumerate() {
                let places = if ascii { self.ascii[word][c as usize] } else { places[word] };
                let was = *cells;
                let swappable = !was.diagonal & places;
                let swapped = ((swappable << 1) | swap) & was.places;
                // The carry out of the word below comes through `diagonal` of its last column.
                swap = swappable >> 63;
                let equal = places | down;
                let sum = (equal & was.greater).wrapping_add(was.greater);
                let diagonal = (sum ^ was.greater) | equal | was.less | swapped;
                let rises = was.less | !(diagonal | was.greater);
                let falls = diagonal & was.greater;
                at_bottom = (rises & bottom != 0, falls & bottom != 0);
                let (rising, falling) = ((rises << 1) | up, (falls << 1) | down);
                (up, down) = (rises >> 63, falls >> 63);
                *cells = Cells {
                    greater: falling | !(diagonal | rising),
                    less: rising & diagonal,
                    diagonal,
                    places,
                };
            }
            edits = edits + usize::from(at_bottom.0) - usize::from(at_bottom.1);
            left -= 1;
            // Each character to come makes it one edit less at best.
            if edits > most + left {
                return None;
            }
        }
        (edits <= most).then_some(edits)
    }
}

#[cfg(test)]
mod tests;
