//! Every shape of a page enters the index that makes it cheap, and sorts only where it should.

use super::texts::page_sql;
use super::*;
use crate::files::{Hold, Location, Role, create_or_check};
use sqlx::AssertSqlSafe;

/// The plan of a page, one line.
async fn plan(connection: &mut SqliteConnection, request: &PageRequest) -> String {
    let sql = format!("EXPLAIN QUERY PLAN {}", page_sql(request));
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap();
    let details: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
    details.join("; ")
}

#[tokio::test]
async fn every_shape_of_a_page_walks_the_right_index() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location { path: folder.path().join("plans.db") };
    let hold = Hold::take(&location, Role::Serve).await.unwrap();
    create_or_check(&location, &hold).await.unwrap();
    let mut connection = location.open_reader().await.unwrap();
    let filters = [
        Filters::default(),
        Filters { status: vec![1], ..Filters::default() },
        Filters { source: vec![0], ..Filters::default() },
        Filters { source: vec![4], kind: vec![0], ..Filters::default() },
        Filters { run_id: vec!["r".into()], ..Filters::default() },
        Filters { file: vec!["a*".into()], branch: vec!["b".into()], ..Filters::default() },
        Filters { changes_only: true, ..Filters::default() },
    ];
    let orders = [Order::NewestFirst, Order::OldestFirst, Order::ById, Order::ByIdDescending];
    for filters in filters {
        for order in orders {
            for (hosts, few) in [
                (Hosts::All, false),
                (Hosts::One(1), false),
                (Hosts::One(1), true),
                (Hosts::Some(vec![1, 2]), false),
                (Hosts::Some(vec![1, 2]), true),
            ] {
                let request = PageRequest {
                    hosts,
                    few,
                    filters: filters.clone(),
                    window: Window::default(),
                    order,
                    after: None,
                    limit: 100,
                };
                let plan = plan(&mut connection, &request).await;
                let entered = match (order.by_id(), few, &request.hosts) {
                    (true, false, _) | (true, _, Hosts::All) => {
                        "SEARCH h USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)".to_owned()
                    }
                    (_, _, Hosts::All) if filters.changes_only => {
                        "SEARCH h USING INDEX history_changes_by_time (time>? AND time<?)".to_owned()
                    }
                    (_, _, Hosts::All) => {
                        "SEARCH e USING PRIMARY KEY (time>? AND time<?)".to_owned()
                    }
                    (true, true, _) if filters.changes_only => {
                        "SEARCH h USING INDEX history_changes_by_host (host_id=?".to_owned()
                    }
                    (true, true, _) => "SEARCH e USING PRIMARY KEY (host_id=?)".to_owned(),
                    (false, ..) if filters.changes_only => {
                        "SEARCH h USING INDEX history_changes_by_host (host_id=? AND time>? AND time<?)".to_owned()
                    }
                    (false, ..) => {
                        "SEARCH e USING PRIMARY KEY (host_id=? AND time>? AND time<?)".to_owned()
                    }
                };
                assert!(plan.contains(&entered), "{request:?}: {plan}");
                // What the index of times does not have yet is sorted, the index is not.
                let (walked, rest) = plan.split_once("RIGHT; ").unwrap_or((&plan, ""));
                let rest_by_id = "SEARCH h USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
                assert!(rest.is_empty() || rest.starts_with(rest_by_id), "{request:?}: {plan}");
                let sorts = walked.contains("USE TEMP B-TREE FOR ORDER BY");
                // Rows of several hosts come host by host: a window's are sorted.
                let may = matches!(request.hosts, Hosts::Some(_)) || (order.by_id() && few);
                assert!(!sorts || may, "{request:?}: {plan}");
            }
        }
    }
}
