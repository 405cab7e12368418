//! Questions and their answers: one file for each. Plain values in, plain values out; nothing here knows HTTP
//! or a terminal.

pub mod history;
mod listed;
pub mod lookback;
pub mod proofs;
pub mod readers;

pub use history::{Filters, Hosts, Order, Page, PageRequest, Window};
pub use lookback::episodes::{Closed, EpisodeRecord};
pub use lookback::{HostChoice, Lookback, LookbackError, Past, Question};
pub use readers::{ReadError, Readers, Width};
