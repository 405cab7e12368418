//! `review`: what `GET /reviews` answers, and as text a page for a meeting.

mod page;

use super::{Failure, say, system_clock, unless_reader_left};
use crate::config::{ReviewArgs, ReviewFormat};
use crate::files::{Location, check_only};
use crate::http::Params;
use crate::http::past::PastQuery;
use crate::http::past::reviews::{ReviewData, group_by, understand_period};
use crate::ledger::Dictionary;
use crate::views::Readers;
use std::sync::Arc;

/// Prints the review.
pub async fn run(args: ReviewArgs) -> Result<(), Failure> {
    let mut params = Params::new(args.pairs());
    let mut query = PastQuery::of(&mut params, &["group_by"], system_clock()());
    let group_by = group_by(&mut params);
    let period = understand_period(&mut params, args.period.as_deref(), &mut query.question);
    if let Some(error) = params.first_error() {
        let name = match error.field.as_str() {
            "period" => "PERIOD".to_owned(),
            field => format!("--{}", field.replace('_', "-")),
        };
        return Err(super::wrong_argument(format!("{name}: {}", error.message)));
    }
    let location = Location::parse(&args.database.database_url)?;
    check_only(&location).await?;
    let dictionary = Arc::new(Dictionary::default());
    let readers = Readers::new(&location, dictionary, 1, super::PATIENCE);
    let data = ReviewData::gather(&readers, period, query.question, &query.hosts).await?;
    let text = match args.format {
        ReviewFormat::Text => page::of(&data).into_bytes(),
        ReviewFormat::Csv => data.review(group_by).csv(group_by),
        ReviewFormat::Json => {
            let mut json = serde_json::to_vec_pretty(&data.review(group_by))?;
            json.push(b'\n');
            json
        }
    };
    let mut stdout = say::Data::to_stdout();
    unless_reader_left(stdout.write(&text).and_then(|()| stdout.flush()))
}
