//! Cycles: stages that wait for each other, each cycle shown whole and once.
//! Never orders stages that do not: `graph` does.

use super::diagnostic::{Faults, Place};
use std::collections::BTreeMap;

/// What each stage waits for, and where it says so.
pub(super) type Waits<'a> = BTreeMap<&'a str, Vec<(&'a str, Place)>>;

/// Cycles that are reported: each costs another look at all that is left.
const CYCLES_MAX: usize = 16;

/// Reports the cycles that share no stage with one reported before, at most [`CYCLES_MAX`].
pub(super) fn find(waits: &Waits<'_>, faults: &mut Faults) {
    let mut left = waits.clone();
    for _ in 0..CYCLES_MAX {
        peel(&mut left);
        let cycle = walk(&left);
        if cycle.is_empty() {
            return;
        }
        report(&cycle, faults);
        cycle.iter().for_each(|(stage, _)| {
            left.remove(stage);
        });
    }
}

/// Takes away, again and again, whatever waits for nothing that is left. Linear in the edges.
fn peel(left: &mut Waits<'_>) {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waiters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (stage, on) in left.iter() {
        let known = on.iter().filter(|(other, _)| left.contains_key(other));
        waiting.insert(stage, known.clone().count());
        known.for_each(|(other, _)| waiters.entry(other).or_default().push(stage));
    }
    let free = waiting.iter().filter(|(_, count)| **count == 0).map(|(stage, _)| *stage);
    let mut free: Vec<&str> = free.collect();
    while let Some(stage) = free.pop() {
        left.remove(stage);
        for waiter in waiters.remove(stage).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(waiter) {
                *count -= 1;
                if *count == 0 {
                    free.push(waiter);
                }
            }
        }
    }
}

/// A cycle among stages each of which waits for another of them: each with the place of its wait.
fn walk<'a>(left: &Waits<'a>) -> Vec<(&'a str, Place)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut path: Vec<(&str, Place)> = Vec::new();
    let mut stage = left.keys().next().copied();
    while let Some(name) = stage {
        if let Some(first) = seen.insert(name, path.len()) {
            return path.split_off(first);
        }
        let next = left.get(name).and_then(|on| on.iter().find(|(o, _)| left.contains_key(o)));
        let Some((other, place)) = next else { break };
        path.push((name, *place));
        stage = Some(other);
    }
    Vec::new()
}

fn report(cycle: &[(&str, Place)], faults: &mut Faults) {
    // The smallest name leads, so that the text does not depend on where the walk began.
    let lead = cycle.iter().enumerate().min_by_key(|(_, (stage, _))| *stage).map_or(0, |(i, _)| i);
    let (before, from) = cycle.split_at(lead);
    let turned = || from.iter().chain(before);
    let Some((first, place)) = turned().next() else { return };
    let names: Vec<&str> = turned().map(|(stage, _)| *stage).chain([*first]).take(20).collect();
    let waits: Vec<String> = turned()
        .take(20)
        .map(|(stage, at)| format!("`{stage}` at {}:{}", at.line, at.column))
        .collect();
    let message = format!("stages wait for each other: {}", names.join(" → "));
    faults.advise(*place, message, format!("take one of these away: {}", waits.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(edges: &[(&'static str, &[&'static str])], expect: &[&str]) {
        let mut waits = Waits::new();
        for (stage, on) in edges {
            waits.insert(stage, on.iter().map(|o| (*o, Place::default())).collect());
        }
        let mut faults = Faults::default();
        find(&waits, &mut faults);
        let found: Vec<_> = faults.into_vec().into_iter().map(|f| f.message).collect();
        let found: Vec<_> = found.iter().filter_map(|m| m.split(": ").nth(1)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn each_cycle_is_shown_whole_and_once() {
        check(&[("a", &["b"]), ("b", &[])], &[]);
        check(&[("a", &["a"])], &["a → a"]);
        check(&[("c", &["a"]), ("a", &["b"]), ("b", &["c"])], &["a → b → c → a"]);
        check(
            &[("a", &["b"]), ("b", &["a"]), ("x", &["a", "y"]), ("y", &["x"]), ("z", &["a"])],
            &["a → b → a", "x → y → x"],
        );
        check(&[("a", &["nowhere"])], &[]);
    }

    #[test]
    fn a_long_chain_is_no_cycle() {
        let names: Vec<String> = (0..20_000).map(|n| format!("s{n}")).collect();
        let mut waits = Waits::new();
        for pair in names.windows(2) {
            waits.insert(&pair[0], vec![(&pair[1], Place::default())]);
        }
        waits.insert(&names[19_999], Vec::new());
        let mut faults = Faults::default();
        find(&waits, &mut faults);
        assert!(faults.is_empty());
    }
}
