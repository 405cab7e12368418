//! The schema as the migrations make it, and as it is: above all the triggers, by which the database
//! itself refuses to change its history. Whoever may write to the file may drop one, or add one that
//! writes beside us.
//!
//! Tables, indexes and views of others are left alone (Litestream has two tables, `ANALYZE` makes one):
//! they do nothing by themselves.

use crate::domain::shown::quoted;
use crate::files::connect::Location;
use crate::files::lock::Hold;
use crate::files::migrate;
use crate::files::trouble::Trouble;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::collections::BTreeMap;

const SCHEMA: &str = "SELECT type, name, sql FROM sqlite_schema \
     WHERE type = 'trigger' OR sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const TRIGGER: &str = "trigger";

/// By kind and name: the statement that makes it.
type Schema = BTreeMap<(String, String), String>;

/// How the schema differs from what the migrations make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guards {
    /// What is not there.
    missing: Vec<(String, String)>,
    /// What is there under its name, and is something else.
    altered: Vec<(String, String)>,
    /// Triggers of others.
    foreign: Vec<String>,
}

impl Guards {
    /// Each difference in words.
    pub fn said(&self) -> Vec<String> {
        let missing =
            self.missing.iter().map(|(kind, name)| format!("the {kind} {name} is missing"));
        let altered = self.altered.iter();
        let altered =
            altered.map(|(kind, name)| format!("the {kind} {name} is not as it was made"));
        let foreign = self.foreign.iter();
        let foreign = foreign.map(|name| format!("the trigger {} is not ours", quoted(name)));
        missing.chain(altered).chain(foreign).collect()
    }

    /// Triggers that would do what nobody knows when something is written; in words.
    pub fn strange_triggers(&self) -> Vec<String> {
        let only = Self { missing: Vec::new(), ..self.clone() };
        only.said().into_iter().filter(|said| said.starts_with("the trigger ")).collect()
    }
}

/// Compares a schema with what the migrations up to this version make.
pub async fn compare(connection: &mut SqliteConnection, version: i64) -> Result<Guards, Trouble> {
    let (ours, mut found) = (made_by_us(version).await?, schema(connection).await?);
    let mut guards = Guards::default();
    for (name, sql) in ours {
        match found.remove(&name) {
            None => guards.missing.push(name),
            Some(other) if other != sql => guards.altered.push(name),
            Some(_) => {}
        }
    }
    let foreign = found.into_keys().filter(|(kind, _)| kind == TRIGGER);
    guards.foreign = foreign.map(|(_, name)| name).collect();
    Ok(guards)
}

/// Compares the schema of a database that is up to date.
pub async fn check_guards(location: &Location) -> Result<Guards, Trouble> {
    let mut reader = location.open_reader().await?;
    let (found, _) = migrate::versions(&mut reader).await?;
    let guards = compare(&mut reader, found).await;
    reader.close().await?;
    guards
}

/// Makes the triggers what the migrations make them, all or nothing: those of others are dropped. Says
/// what was done.
pub async fn put_back(location: &Location, _: &Hold) -> Result<Vec<String>, Trouble> {
    let mut writer = location.open_writer().await?;
    let (version, _) = migrate::versions(&mut writer).await?;
    let (ours, guards) = (made_by_us(version).await?, compare(&mut writer, version).await?);
    let is_trigger = |(kind, _): &&(String, String)| kind == TRIGGER;
    let altered = guards.altered.iter().filter(is_trigger);
    let wanted = guards.missing.iter().filter(is_trigger).chain(altered.clone());
    let unwanted = guards.foreign.iter().chain(altered.map(|(_, name)| name));
    let drop = unwanted.map(|name| format!("DROP TRIGGER \"{}\"", name.replace('"', "\"\"")));
    let create = wanted.filter_map(|name| ours.get(name).cloned());
    let statements: Vec<String> = drop.chain(create).collect();
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    for statement in &statements {
        // The texts are our own migrations', and quoted names.
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    writer.close().await?;
    Ok(guards.said().into_iter().filter(|said| said.starts_with("the trigger ")).collect())
}

async fn made_by_us(version: i64) -> Result<Schema, Trouble> {
    let memory = SqliteConnectOptions::new().in_memory(true).disable_statement_logging();
    let mut connection = memory.connect().await?;
    let made = migrate::run_to(&mut connection, version).await;
    made.map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(schema(&mut connection).await?)
}

async fn schema(connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let rows = sqlx::query(SCHEMA).fetch_all(connection).await?;
    let named =
        |row: &sqlx::sqlite::SqliteRow| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?));
    rows.iter().map(named).collect()
}
