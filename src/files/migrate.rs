//! refinery over sqlx's own connection: no driver more for it, and the same pragmas.

use refinery_core::Migration;
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Applies what is missing, each migration in a transaction of its own.
pub async fn run(connection: &mut SqliteConnection) -> Result<(), refinery::Error> {
    embedded::migrations::runner().run_async(&mut Adapter(connection)).await.map(|_| ())
}

/// Applies those up to a version.
pub async fn run_to(
    connection: &mut SqliteConnection,
    version: i64,
) -> Result<(), refinery::Error> {
    let target = refinery_core::Target::Version(version as _);
    let runner = embedded::migrations::runner().set_target(target);
    runner.run_async(&mut Adapter(connection)).await.map(|_| ())
}

/// The schema's version in the database (0 for none) and the newest this program knows.
pub async fn versions(connection: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    let known =
        embedded::migrations::runner().get_migrations().iter().map(Migration::version).max();
    let newest = sqlx::query("SELECT max(version) FROM refinery_schema_history");
    let found: Option<i64> = newest.fetch_one(connection).await?.get(0);
    Ok((found.unwrap_or(0), known.map_or(0, i64::from)))
}

struct Adapter<'c>(&'c mut SqliteConnection);

impl AsyncTransaction for Adapter<'_> {
    type Error = sqlx::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let mut count = 0;
        for query in queries {
            // The texts are this program's own migration files.
            sqlx::raw_sql(AssertSqlSafe(query.to_owned())).execute(&mut *transaction).await?;
            count += 1;
        }
        transaction.commit().await?;
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Adapter<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        let rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(&mut *self.0).await?;
        rows.iter().map(applied).collect()
    }
}

impl AsyncMigrate for Adapter<'_> {}

/// One row of refinery's own table.
fn applied(row: &sqlx::sqlite::SqliteRow) -> Result<Migration, sqlx::Error> {
    let (applied_on, checksum): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let applied_on =
        time::OffsetDateTime::parse(&applied_on, &time::format_description::well_known::Rfc3339)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
    let checksum = checksum.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Migration::applied(row.try_get::<i32, _>(0)?, row.try_get(1)?, applied_on, checksum))
}
