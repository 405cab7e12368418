//! Numbers given to the values of a dictionary, as far as memory holds them.

use foldhash::{HashMap, HashMapExt};

/// Numbers remembered; above, the memory starts afresh.
const REMEMBERED: usize = 50_000;

/// Numbers given to values of one dictionary.
#[derive(Debug)]
pub struct Numbers<T> {
    /// Those that memory holds.
    pub known: HashMap<T, i64>,
    last: i64,
}

impl<T: std::hash::Hash + Eq + Clone> Numbers<T> {
    /// The highest number that was given.
    pub fn new(last: i64) -> Self {
        Self { known: HashMap::new(), last }
    }

    /// The number of a value, new if it has none; `fresh` is told of new ones.
    pub fn number(&mut self, value: &T, fresh: impl FnOnce(i64)) -> i64 {
        if let Some(number) = self.known.get(value) {
            return *number;
        }
        self.last += 1;
        self.known.insert(value.clone(), self.last);
        fresh(self.last);
        self.last
    }

    /// Forgets all of them if they are many.
    pub fn keep_small(&mut self) {
        if self.known.len() > REMEMBERED {
            self.known = HashMap::new();
        }
    }
}
