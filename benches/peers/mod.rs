//! What the server is measured against: other programs, and SQLite by itself.

pub mod flask;
pub mod pushgateway;
pub mod sqlite;
