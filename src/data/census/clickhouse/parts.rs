//! Which parts of a partition are old acquaintances, and which may hold rows that were not counted.
//!
//! One rule: a part counts as known only when its blocks prove it; merges alone change nothing.

use super::super::book::Part;

/// An active part as `system.parts` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Its name, for `_part`.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// What proves it.
    pub part: Part,
}

/// The newest mutation in a part, by its name; 0 without one.
pub fn mutation(partition: &str, name: &str) -> i64 {
    numbers(partition, name).nth(3).flatten().unwrap_or(0)
}

/// The newest block in a part, by its name; one newer than all where it does not say so.
pub fn newest(partition: &str, name: &str) -> i64 {
    numbers(partition, name).nth(1).flatten().unwrap_or(i64::MAX)
}

/// The numbers in a part's name, `partition_min_max_level[_mutation]`.
fn numbers(partition: &str, name: &str) -> impl Iterator<Item = Option<i64>> {
    let rest = name.strip_prefix(partition).unwrap_or(name).trim_start_matches('_');
    rest.split('_').map(|n| n.parse().ok())
}

/// Which table a part belongs to: the `uuid` in its path; nothing where databases keep tables by their names.
pub fn relation(path: &str) -> String {
    let is_uuid = |s: &&str| s.len() == 36 && s.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    path.split('/').find(is_uuid).unwrap_or_default().to_owned()
}

/// What became of a partition since it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing, or merges.
    None,
    /// Rows may have come, in these parts only; whether all of them hold new rows and nothing else.
    Grown(Vec<String>, bool),
    /// Rows were changed or taken away: all of it is to be counted.
    Rewritten,
}

/// Compares the parts then and now. `newest` is the highest block of the whole table when the partition was counted:
/// without replication a block gets its number when it is committed, so that a higher one is a newer one. With
/// replication numbers are given before the commit, and only blocks that were seen are known.
pub fn compare(then: &[Part], now: &[Active], newest: i64, replicated: bool) -> Change {
    let gone = then.iter().any(|old| !now.iter().any(|new| holds(&new.part, old)));
    if gone {
        return Change::Rewritten;
    }
    let (mut grown, mut fresh) = (Vec::new(), true);
    for new in now {
        if then.iter().any(|old| old.hash == new.part.hash && blocks(old) == blocks(&new.part)) {
            continue;
        }
        let inside: Vec<&Part> = then.iter().filter(|old| holds(&new.part, old)).collect();
        if !inside.is_empty() && inside.iter().any(|old| old.mutation != new.part.mutation) {
            return Change::Rewritten;
        }
        let old = if replicated {
            covers(&inside, &new.part)
        } else {
            new.part.max <= newest && !inside.is_empty()
        };
        if !old {
            grown.push(new.name.clone());
            // Without replication, the numbers say it; with it, that none of the blocks was seen.
            fresh &= inside.is_empty() && (replicated || new.part.min > newest);
        }
    }
    if grown.is_empty() { Change::None } else { Change::Grown(grown, fresh) }
}

const fn blocks(part: &Part) -> (i64, i64) {
    (part.min, part.max)
}

const fn holds(outer: &Part, inner: &Part) -> bool {
    outer.min <= inner.min && inner.max <= outer.max
}

/// Whether these parts, in the order of their blocks, make up all blocks of `whole`.
fn covers(parts: &[&Part], whole: &Part) -> bool {
    let mut parts = parts.to_vec();
    parts.sort_by_key(|p| p.min);
    let mut next = whole.min;
    for part in parts {
        if part.min > next {
            return false;
        }
        next = next.max(part.max + 1);
    }
    next > whole.max
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(min: i64, max: i64) -> Part {
        Part { min, max, mutation: 0, hash: format!("{min}-{max}") }
    }

    fn active(part: Part) -> Active {
        Active { name: format!("p_{}_{}_0", part.min, part.max), rows: 1, part }
    }

    fn merged(min: i64, max: i64, hash: &str) -> Active {
        active(Part { min, max, mutation: 0, hash: hash.into() })
    }

    #[test]
    fn a_merge_of_known_blocks_changes_nothing() {
        let then = [part(1, 1), part(4, 4)];
        let now = [merged(1, 4, "m")];
        assert_eq!(compare(&then, &now, 5, false), Change::None);
        assert_eq!(compare(&then, &now, 5, true), Change::Grown(vec!["p_1_4_0".into()], false), "2 and 3?");
        assert_eq!(compare(&[part(1, 2), part(3, 4)], &now, 5, true), Change::None);
    }

    #[test]
    fn new_blocks_are_named() {
        let then = [part(1, 3)];
        let now = [active(part(1, 3)), active(part(9, 9))];
        assert_eq!(compare(&then, &now, 5, false), Change::Grown(vec!["p_9_9_0".into()], true));
        assert_eq!(
            compare(&then, &[merged(1, 9, "m")], 5, false),
            Change::Grown(vec!["p_1_9_0".into()], false)
        );
    }

    #[test]
    fn a_part_says_its_mutation() {
        assert_eq!((mutation("202401", "202401_1_7_2"), mutation("202401", "202401_1_7_2_9")), (0, 9));
    }

    #[test]
    fn a_mutation_or_a_dropped_part_rewrites() {
        let then = [part(1, 3), part(5, 5)];
        assert_eq!(compare(&then, &[active(part(1, 3))], 5, false), Change::Rewritten);
        let mutated =
            Active { part: Part { mutation: 7, ..merged(1, 3, "other").part }, ..merged(1, 3, "other") };
        assert_eq!(compare(&then, &[mutated.clone(), active(part(5, 5))], 5, false), Change::Rewritten);
        let cloned = Active { part: Part { hash: "1-3".into(), ..mutated.part }, ..mutated };
        assert_eq!(compare(&then, &[cloned, active(part(5, 5))], 5, false), Change::None, "the same bytes");
    }

    #[test]
    fn names_and_paths_say_what_they_hold() {
        assert_eq!((newest("202611", "202611_4_17_2"), mutation("202611", "202611_4_17_2")), (17, 0));
        assert_eq!((newest("a_b", "a_b_4_17_2_21"), mutation("a_b", "a_b_4_17_2_21")), (17, 21));
        assert_eq!(newest("202611", "patch"), i64::MAX, "what is not understood is not known");
        let uuid = "5cc131fe-7471-4536-9d43-2d6f1f3e52e7";
        assert_eq!(relation(&format!("/var/lib/clickhouse/store/5cc/{uuid}/202611_1_1_0/")), uuid);
        assert_eq!(relation("/var/lib/clickhouse/data/default/traces/202611_1_1_0/"), "");
    }
}
