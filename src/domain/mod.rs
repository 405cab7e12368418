//! What the product knows, as pure functions and values: reports, the fold, the canonical line,
//! times, names, cursors, access tokens.
//!
//! Belongs here: anything that can be tested without a clock, a file, a socket or a database.
//! Does not belong here: async, SQL, HTTP, environment. Arrows run *to* this room only.

pub mod access;
pub mod apply;
pub mod cell;
pub mod checkpoint;
pub mod content;
pub mod course;
pub mod cursor;
pub mod event;
pub mod file_set;
pub mod files;
pub mod item;
pub mod line;
pub mod manifest;
pub mod max_age;
pub mod names;
pub mod near;
pub mod period;
pub mod place;
pub mod push;
pub mod receipt;
pub mod report;
pub mod review;
pub mod shown;
pub mod state;
pub mod surroundings;
pub mod text;
pub mod time;
pub mod timeline;
pub mod tree;
pub mod words;
