//! The description against itself.

use std::collections::BTreeSet;

use super::{Back, Column, Compare, Live, Rule, Tier, spec};
use crate::data::cell::ChType;
use crate::domain::backfill::Table;

fn parts(rule: Rule) -> usize {
    match rule {
        Rule::Counts | Rule::Costs => 3,
        Rule::EmptyMap | Rule::Fixed(_) | Rule::Alive => 0,
        _ => 1,
    }
}

#[test]
fn every_column_is_described_once_and_whole() {
    for table in Table::ALL {
        let spec = spec(table);
        let names: BTreeSet<_> = spec.columns.iter().map(|c| c.ch).collect();
        assert_eq!(names.len(), spec.columns.len(), "{} names a column twice", spec.ch);
        assert_eq!([spec.columns[0].ch, spec.columns[1].ch], ["id", "project_id"]);
        assert!(names.contains(spec.time) && names.contains("event_ts") && names.contains("is_deleted"));
        for name in spec.sorted_by {
            assert!(names.contains(name), "{} is sorted by {name}", spec.ch);
        }
        for column in spec.columns {
            assert_eq!(column.pg.len(), parts(column.rule), "{}.{}", spec.ch, column.ch);
            if let Back::To(back) = column.back {
                assert_eq!(back.len(), column.pg.len(), "{}.{} comes back whole", spec.ch, column.ch);
            }
        }
    }
}

#[test]
fn what_is_not_compared_says_why() {
    let all = Table::ALL.into_iter().flat_map(|t| spec(t).columns);
    for column in all {
        if let Compare::Not(why) = column.compare {
            assert!(why.len() > 10, "{}", column.ch);
        }
    }
}

#[test]
fn json_is_the_dearest_tier() {
    let tier = |c: &Column| c.tier();
    let observations = spec(Table::Observations);
    assert_eq!(observations.column("id").map(tier), Some(Tier::Key));
    assert_eq!(observations.column("total_cost").map(tier), Some(Tier::Scalar));
    assert_eq!(observations.column("model_parameters").map(tier), Some(Tier::All));
}

#[test]
fn another_version_of_v3_is_read_and_named() {
    let spec = spec(Table::Traces);
    let mut columns: Vec<_> = spec
        .columns
        .iter()
        .filter(|c| c.ch != "environment")
        .map(|c| (c.ch.to_owned(), ChType::String))
        .collect();
    columns.push(("sdk".into(), ChType::String));
    columns.push(("odd".into(), ChType::Other("Tuple(a Int8)".into())));
    let mapping = Live { columns }.map(spec);
    assert_eq!(mapping.absent, ["environment"]);
    assert_eq!(mapping.unknown, ["sdk", "odd"]);
    assert!(mapping.ch_list().starts_with("`id`, `project_id`, `timestamp`"));
    assert!(mapping.pg_list().starts_with("t.id, t.project_id, t.\"timestamp\""));
}

#[test]
fn a_column_of_a_type_that_is_not_known_is_there_and_not_read() {
    let spec = spec(Table::Traces);
    let kind = |ch: &str| if ch == "input" { ChType::Other("JSON".into()) } else { ChType::String };
    let columns = spec.columns.iter().map(|c| (c.ch.to_owned(), kind(c.ch))).collect();
    let mapping = Live { columns }.map(spec);
    assert!(mapping.absent.is_empty(), "{:?}", mapping.absent);
    assert_eq!(mapping.unknown, ["input"]);
    assert_eq!(mapping.unread().map(|c| c.ch).collect::<Vec<_>>(), ["input"]);
}
