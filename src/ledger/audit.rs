//! The whole history hashed anew and compared with the tree that was written with it.
//!
//! Stretches of the history are read and hashed on as many threads as there are processors; one after
//! the other they are put into a new tree here, which must come out as the kept one.

use crate::domain::line::unhex;
use crate::domain::tree::{Frontier, Hash, KEPT_LEAVES, KEPT_LEVELS, Node};
use crate::files::connect::Location;
use crate::files::threads;
use crate::files::threads::Progress;
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use crate::ledger::rows::hash8;
use crate::ledger::tree::{leaves_of, rows};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Leaves hashed in one go.
const STRETCH: u64 = 32 * KEPT_LEAVES;
/// Stretches that may wait to be put into the tree, beside those being hashed.
const WAITING: usize = 4;

const STATE: &str = "SELECT origin, size, tree_size, frontier, \
     (SELECT max(seq) FROM drift_history) FROM head";
const SUBTREES: &str = "SELECT level, n, hash FROM subtree WHERE level = $1 AND n >= $2 AND n < $3";
const SUBTREES_ABOVE: &str = "SELECT level, n, hash FROM subtree WHERE level > $1";

/// Something in the history that is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first entry concerned, as far as can be told.
    pub first: u64,
    /// The last one that may be concerned; the same if it is certain which.
    pub last: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, what } = self;
        match (first, last) {
            (first, last) if first == last => write!(f, "entry {first}: {what}"),
            (first, &u64::MAX) => write!(f, "entries from {first} on: {what}"),
            (first, last) => write!(f, "entries {first} to {last}: {what}"),
        }
    }
}

/// What [`audit`] found.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The history's name.
    pub origin: Arc<str>,
    /// Its entries.
    pub entries: u64,
    /// The root over them, as hashed now.
    pub root: Hash,
    /// What is wrong, in the order of the entries.
    pub faults: Vec<Fault>,
    /// The roots at the sizes that were asked for, as hashed now.
    pub roots: BTreeMap<u64, Hash>,
}

/// Hashes everything anew. `sizes`: where the root is wanted, too. Changes nothing, and a running
/// server does not disturb it.
pub async fn audit(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    sizes: &[u64],
    progress: Progress<'_>,
) -> Result<Audit, Trouble> {
    let mut connection = location.open_reader().await?;
    let head = Head::read(&mut connection).await?;
    let mut builder = Builder::new(&head, sizes);
    let mut stretches = Stretches::begin(location, dictionary, &head);
    while let Some(stretch) = stretches.next().await {
        let stretch = stretch?;
        let kept = kept(&mut connection, &stretch).await?;
        builder.take(stretch, &kept);
        progress(builder.tree.size(), head.size);
    }
    let query = sqlx::query(SUBTREES_ABOVE).bind(KEPT_LEVELS);
    let above = read(query.fetch_all(&mut connection).await?)?;
    connection.close().await?;
    Ok(builder.finish(&head, &above))
}

/// What the head says.
struct Head {
    origin: Arc<str>,
    size: u64,
    tree_size: u64,
    frontier: String,
    newest: u64,
}

impl Head {
    async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(STATE).fetch_one(connection).await?;
        let number = |column| row.try_get::<Option<i64>, _>(column).map(|n| n.unwrap_or(0) as u64);
        Ok(Self {
            origin: row.try_get::<String, _>(0)?.into(),
            size: number(1)?,
            tree_size: number(2)?,
            frontier: row.try_get(3)?,
            newest: number(4)?,
        })
    }

    /// What does not fit together in it.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |first, what: String| faults.push(Fault { first, last: u64::MAX, what });
        let Self { size, newest, tree_size, .. } = self;
        if newest > size {
            fault(size + 1, format!("they stand behind the end: the head counts {size}"));
        }
        if tree_size != size {
            fault(tree_size.min(size) + 1, format!("the tree has {tree_size} leaves, not {size}"));
        }
        faults
    }
}

/// The leaves of some entries, as their rows are now.
struct Stretch {
    first: u64,
    leaves: Vec<Hash>,
    faults: Vec<Fault>,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }
}

/// Stretches being hashed on other threads, given out in order.
struct Stretches {
    results: mpsc::Receiver<Result<Stretch, sqlx::Error>>,
    early: HashMap<u64, Stretch>,
    next: u64,
    size: u64,
}

impl Stretches {
    fn begin(location: &Location, dictionary: &Arc<Dictionary>, head: &Head) -> Self {
        let (sender, results) = mpsc::channel(WAITING);
        let counter = Arc::new(AtomicU64::new(0));
        for _ in 0..threads::count() {
            let worker = Worker {
                location: location.clone(),
                dictionary: dictionary.clone(),
                origin: head.origin.clone(),
                size: head.size,
                counter: counter.clone(),
                sender: sender.clone(),
            };
            let failures = sender.clone();
            tokio::spawn(async move {
                if let Err(error) = threads::run(async move || worker.work().await).await {
                    // Nobody listens any more if this fails.
                    let _ = failures.send(Err(error)).await;
                }
            });
        }
        Self { results, early: HashMap::new(), next: 0, size: head.size }
    }

    async fn next(&mut self) -> Option<Result<Stretch, sqlx::Error>> {
        while self.next < self.size {
            if let Some(stretch) = self.early.remove(&self.next) {
                self.next = stretch.end();
                return Some(Ok(stretch));
            }
            match self.results.recv().await {
                Some(Ok(stretch)) => drop(self.early.insert(stretch.first, stretch)),
                Some(Err(error)) => return Some(Err(error)),
                None => return Some(Err(sqlx::Error::WorkerCrashed)),
            }
        }
        None
    }
}

/// Takes stretches until there are no more.
struct Worker {
    location: Location,
    dictionary: Arc<Dictionary>,
    origin: Arc<str>,
    size: u64,
    counter: Arc<AtomicU64>,
    sender: mpsc::Sender<Result<Stretch, sqlx::Error>>,
}

impl Worker {
    async fn work(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.location.open_reader().await?;
        loop {
            let first = self.counter.fetch_add(STRETCH, Ordering::Relaxed);
            if first >= self.size {
                return connection.close().await;
            }
            let end = (first + STRETCH).min(self.size);
            let stretch = self.hash(&mut connection, first, end).await?;
            if self.sender.send(Ok(stretch)).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Hashes the entries of a stretch; where that fails as a whole, one by one.
    async fn hash(
        &self,
        connection: &mut SqliteConnection,
        first: u64,
        end: u64,
    ) -> Result<Stretch, sqlx::Error> {
        let mut stretch = Stretch { first, leaves: Vec::new(), faults: Vec::new() };
        match self.compare(connection, first, end, &mut stretch).await {
            Ok(()) => return Ok(stretch),
            Err(trouble) if !trouble.is_unreadable() => return Err(trouble.into()),
            Err(_) => stretch = Stretch { first, leaves: Vec::new(), faults: Vec::new() },
        }
        for at in first..end {
            match self.compare(connection, at, at + 1, &mut stretch).await {
                Ok(()) => {}
                Err(trouble) if trouble.is_unreadable() => {
                    stretch.leaves.push(Hash::default());
                    stretch.faults.push(Fault {
                        first: at + 1,
                        last: at + 1,
                        what: trouble.to_string(),
                    });
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Ok(stretch)
    }

    async fn compare(
        &self,
        connection: &mut SqliteConnection,
        first: u64,
        end: u64,
        stretch: &mut Stretch,
    ) -> Result<(), Trouble> {
        let rows = rows(connection, first, end).await?;
        let leaves = leaves_of(connection, &self.dictionary, &self.origin, &rows).await?;
        let mut found = rows.iter().zip(leaves).peekable();
        for id in first + 1..=end {
            let mut fault =
                |what: &str| stretch.faults.push(Fault { first: id, last: id, what: what.into() });
            let Some((row, leaf)) = found.next_if(|(row, _)| row.id == id) else {
                fault("it is missing");
                stretch.leaves.push(Hash::default());
                continue;
            };
            if row.hash8 != hash8(&leaf) {
                fault("it is not what was recorded under this id");
            }
            stretch.leaves.push(leaf);
        }
        Ok(())
    }
}

/// The new tree, and what is found while it grows.
struct Builder {
    tree: Frontier,
    faults: Vec<Fault>,
    wanted: BTreeMap<u64, Option<Hash>>,
    /// Subtrees above the smallest that are kept.
    above: Vec<(Node, Hash)>,
}

impl Builder {
    fn new(head: &Head, sizes: &[u64]) -> Self {
        let within = sizes.iter().filter(|size| **size <= head.size);
        let wanted = within.map(|size| (*size, (*size == 0).then(|| Frontier::default().root())));
        Self {
            tree: Frontier::default(),
            faults: Vec::new(),
            wanted: wanted.collect(),
            above: Vec::new(),
        }
    }

    /// Appends a stretch; `kept`: the smallest subtrees that were written with it.
    fn take(&mut self, stretch: Stretch, kept: &HashMap<Node, Hash>) {
        let mut completed = Vec::new();
        for leaf in &stretch.leaves {
            self.tree.push(*leaf, &mut completed);
            if let Some(wanted) = self.wanted.get_mut(&self.tree.size()) {
                *wanted = Some(self.tree.root());
            }
        }
        for (node, hash) in completed {
            if node.leaves() > KEPT_LEAVES {
                self.above.push((node, hash));
                continue;
            }
            let (first, last) = (node.first() + 1, node.first() + node.leaves());
            let known = stretch.faults.iter().any(|fault| (first..=last).contains(&fault.first));
            let found = kept.get(&node);
            if found != Some(&hash) && !known {
                let what = match found {
                    Some(_) => {
                        "one of them is not what was recorded, and its short hash was changed too"
                    }
                    None => "what was recorded of them is gone from the tree",
                };
                self.faults.push(Fault { first, last, what: what.into() });
            }
        }
        self.faults.extend(stretch.faults);
    }

    fn finish(mut self, head: &Head, above: &HashMap<Node, Hash>) -> Audit {
        let all_kept = self.above.iter().all(|(node, hash)| above.get(node) == Some(hash));
        if self.faults.is_empty() && !(all_kept && above.len() == self.above.len()) {
            let what = "the kept hashes of large subtrees are not those of the entries";
            self.faults.push(Fault { first: 1, last: head.size, what: what.into() });
        }
        let written = Frontier::from_text(head.tree_size, &head.frontier);
        let whole = head.tree_size == head.size;
        if whole && self.faults.is_empty() && written.as_ref() != Some(&self.tree) {
            // Complete subtrees are right, so it is behind them.
            let first = self.tree.size() / KEPT_LEAVES * KEPT_LEAVES + 1;
            let what = "the tree was written over other entries";
            self.faults.push(Fault { first, last: head.size, what: what.into() });
        }
        self.faults.extend(head.faults());
        self.faults.sort_by_key(|fault| (fault.first, fault.last));
        Audit {
            origin: head.origin.clone(),
            entries: head.size,
            root: self.tree.root(),
            faults: self.faults,
            roots: self.wanted.into_iter().filter_map(|(size, root)| Some((size, root?))).collect(),
        }
    }
}

/// The smallest kept subtrees over some entries.
async fn kept(
    connection: &mut SqliteConnection,
    stretch: &Stretch,
) -> Result<HashMap<Node, Hash>, sqlx::Error> {
    let range = [stretch.first / KEPT_LEAVES, stretch.end() / KEPT_LEAVES];
    let query = sqlx::query(SUBTREES).bind(KEPT_LEVELS).bind(range[0] as i64);
    read(query.bind(range[1] as i64).fetch_all(connection).await?)
}

fn read(rows: Vec<SqliteRow>) -> Result<HashMap<Node, Hash>, sqlx::Error> {
    let mut nodes = HashMap::with_capacity(rows.len());
    for row in rows {
        let (level, n): (u8, i64) = (row.try_get(0)?, row.try_get(1)?);
        // A hash that is none cannot be the right one.
        if let Some(hash) = unhex(row.try_get::<&str, _>(2)?).map(Hash) {
            nodes.insert(Node { level, n: n as u64 }, hash);
        }
    }
    Ok(nodes)
}
