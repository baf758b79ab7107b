//! Splits: the rows of a table divided into named parts, by lot and in proportion.
//! Never draws the lot itself: the permutation of the rows is an argument.
//!
//! Each stratum (all rows, or the rows of one value of the stratifying column, ascending as text,
//! rows without a value first) is permuted and cut into consecutive pieces, one per part. A piece
//! is the part's exact share rounded down or up; whole rows that are left go to the largest
//! remainders, where what earlier strata rounded away counts too. So a part is within one row of
//! its share in every stratum, and close to it over all of them.
//!
//! Groups (the rows of one value of the grouping column; rows without a value are one too) are
//! dealt whole, each to the part that lacks most rows of its share; of equals, to the first. Large
//! ones come first, while every part has room for them: by the binary digits of their size, and by
//! lot where these are as many. So a part has less than one group too many. No part stays empty
//! while there are groups for it.
//!
//! Rows keep their order inside a part. Where their order decides, no lot is drawn at all.

use super::table::{Table, TextsKept};
use super::{Fault, Named, quote};
use crate::domain::job::{Dealing, Split};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Divides `table`. `permutation(seed, stratum, rows)` gives 0..rows in an order that follows from
/// its arguments alone; the lot of groups is that of stratum 0. The parts come in the order of the
/// ratios; none is empty.
pub fn run(
    spec: &Split,
    table: &Table,
    permutation: impl Fn(u64, u64, usize) -> Vec<u32>,
) -> Result<Vec<Named>, Fault> {
    let shares = shares(spec)?;
    let order = |stratum, rows| permutation(spec.seed, u64::from(stratum), rows);
    let parts = match &spec.dealing {
        Dealing::Rows => deal(&[(0..table.rows()).collect()], &shares, order),
        Dealing::InOrder => {
            let kept = |_, rows| (0..u32::try_from(rows).unwrap_or(u32::MAX)).collect();
            deal(&[(0..table.rows()).collect()], &shares, kept)
        }
        Dealing::Stratified(column) => {
            let strata = values(table, column)?;
            check_strata(column, &strata)?;
            deal(&strata.into_values().collect::<Vec<_>>(), &shares, order)
        }
        Dealing::Grouped(column) => {
            let groups = values(table, column)?;
            check_groups(column, groups.len(), shares.len())?;
            let lot = order(0, groups.len());
            deal_groups(groups.into_values().collect(), &lot, &shares)
        }
    };
    let dealt: usize = parts.iter().map(Vec::len).sum();
    assert_eq!(dealt, table.rows(), "every row goes to one part");
    let named = spec.ratios.iter().zip(parts).map(|((name, _), rows)| {
        if rows.is_empty() {
            return Err(Fault::new(
                format!("part {} gets none of the {} rows", quote(name), table.rows()),
                "give it a larger share, or split a larger table",
            ));
        }
        Ok(Named { name: name.clone(), bytes: table.take(&rows).to_bytes() })
    });
    named.collect()
}

/// Deals the rows of each stratum out to parts of these shares, which sum to 1: the rows of each
/// part, ascending. `permutation(stratum, rows)` is the order in which they are dealt.
pub(super) fn deal(
    strata: &[Vec<usize>],
    shares: &[f64],
    permutation: impl Fn(u32, usize) -> Vec<u32>,
) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); shares.len()];
    let mut carried = vec![0.0; shares.len()];
    for (number, rows) in (0..).zip(strata) {
        let order = permutation(number, rows.len());
        let mut shuffled = order.iter().filter_map(|&place| rows.get(place as usize).copied());
        let sizes = apportion(rows.len(), shares, &mut carried);
        for (part, size) in parts.iter_mut().zip(sizes) {
            part.extend(shuffled.by_ref().take(size));
        }
    }
    parts.iter_mut().for_each(|rows| rows.sort_unstable());
    parts
}

/// The ratios scaled to a sum of 1.
fn shares(spec: &Split) -> Result<Vec<f64>, Fault> {
    let total: f64 = spec.ratios.iter().map(|(_, ratio)| ratio).sum();
    let names: BTreeSet<_> = spec.ratios.iter().map(|(name, _)| name).collect();
    let positive = spec.ratios.iter().all(|(_, ratio)| *ratio > 0.0 && ratio.is_finite());
    if spec.ratios.is_empty() || !positive || !total.is_finite() {
        return Err(Fault::new(
            "the ratios of a split must be positive numbers",
            "for example: ratios: { train: 0.8, test: 0.2 }",
        ));
    }
    if names.len() < spec.ratios.len() {
        return Err(Fault::new("two parts of a split have one name", "rename one of them"));
    }
    Ok(spec.ratios.iter().map(|(_, ratio)| ratio / total).collect())
}

/// The rows of each value of a column, both ascending; rows without one come first.
fn values(table: &Table, column: &str) -> Result<BTreeMap<Option<String>, Vec<usize>>, Fault> {
    let mut values: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    let mut kept = TextsKept::default();
    for (row, value) in table.column(column)?.each_text().enumerate() {
        let value = value.map(Cow::into_owned);
        if let Some(rows) = values.get_mut(&value) {
            rows.push(row);
        } else {
            kept.add(value.as_deref().unwrap_or_default())?;
            values.insert(value, vec![row]);
        }
    }
    Ok(values)
}

/// A value of one row cannot be in more than one part, however it is dealt.
fn check_strata(column: &str, strata: &BTreeMap<Option<String>, Vec<usize>>) -> Result<(), Fault> {
    let Some((value, _)) = strata.iter().find(|(_, rows)| rows.len() < 2) else { return Ok(()) };
    let column = quote(column);
    let message = match value {
        Some(value) => format!("column {column} has the value {} in one row only", quote(value)),
        None => format!("column {column} has no value in one row only"),
    };
    let hint = "what is to be in every part needs more rows: leave it out, or do not stratify";
    Err(Fault::new(message, hint))
}

fn check_groups(column: &str, groups: usize, parts: usize) -> Result<(), Fault> {
    if groups >= parts {
        return Ok(());
    }
    let column = quote(column);
    Err(Fault::new(
        format!("column {column} has fewer values than there are parts: {groups} for {parts}"),
        "rows of one value stay together: take fewer parts, or another column",
    ))
}

/// Deals groups out whole: the rows of each part, ascending; `lot` is an order of the groups.
fn deal_groups(groups: Vec<Vec<usize>>, lot: &[u32], shares: &[f64]) -> Vec<Vec<usize>> {
    let rows: usize = groups.iter().map(Vec::len).sum();
    let mut order: Vec<&Vec<usize>> =
        lot.iter().filter_map(|&place| groups.get(place as usize)).collect();
    // Stable: the lot decides among groups of about one size.
    order.sort_by_key(|group| std::cmp::Reverse(usize::BITS - group.len().leading_zeros()));
    let mut parts = vec![Vec::new(); shares.len()];
    for (dealt, group) in order.iter().enumerate() {
        let empty = parts.iter().filter(|part| part.is_empty()).count();
        let is_last_chance = order.len() - dealt <= empty;
        let lacks = |(part, share): (&Vec<usize>, &f64)| share * rows as f64 - part.len() as f64;
        let neediest = parts
            .iter()
            .zip(shares)
            .map(|pair| (pair.0.is_empty(), lacks(pair)))
            .enumerate()
            .filter(|(_, (is_empty, _))| *is_empty || !is_last_chance)
            .reduce(|best, next| if next.1.1 > best.1.1 { next } else { best });
        if let Some(part) = neediest.and_then(|(index, _)| parts.get_mut(index)) {
            part.extend(group.iter().copied());
        }
    }
    parts.iter_mut().for_each(|rows| rows.sort_unstable());
    parts
}

/// Whole numbers that sum to `rows`, each a share of it rounded down or up (largest remainder,
/// Hamilton 1792; ties to the earlier part). `carried` is what each part is still owed, and is
/// brought up to date.
fn apportion(rows: usize, shares: &[f64], carried: &mut [f64]) -> Vec<usize> {
    let exact: Vec<f64> = shares.iter().map(|share| share * rows as f64).collect();
    let mut sizes: Vec<usize> = exact.iter().map(|exact| exact.floor() as usize).collect();
    let owed = |part: usize| {
        let quota = exact.get(part).copied().unwrap_or_default();
        quota - quota.floor() + carried.get(part).copied().unwrap_or_default()
    };
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| owed(*b).total_cmp(&owed(*a)));
    let left = rows.saturating_sub(sizes.iter().sum());
    for part in order.into_iter().take(left) {
        if let Some(size) = sizes.get_mut(part) {
            *size += 1;
        }
    }
    for ((carried, exact), size) in carried.iter_mut().zip(exact).zip(&sizes) {
        *carried += exact - *size as f64;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::{Philox, purpose};
    use proptest::prelude::*;

    const IRIS: &[u8] = include_bytes!("../../manifests/data/iris.csv");

    fn spec(ratios: &[(&str, f64)], stratify: Option<&str>) -> Split {
        let ratios = ratios.iter().map(|(name, ratio)| (name.to_string(), *ratio)).collect();
        let dealing = stratify.map_or(Dealing::Rows, |x| Dealing::Stratified(x.to_owned()));
        Split { ratios, dealing, seed: 7 }
    }

    fn by(ratios: &[(&str, f64)], column: &str) -> Split {
        Split { dealing: Dealing::Grouped(column.to_owned()), ..spec(ratios, None) }
    }

    /// Not a lot at all, but a permutation that is easy to follow: from the last row to the first.
    fn backwards(_seed: u64, _stratum: u64, rows: usize) -> Vec<u32> {
        (0..rows as u32).rev().collect()
    }

    fn parts(spec: &Split, table: &Table) -> Vec<Table> {
        let parts = run(spec, table, backwards).unwrap();
        parts.iter().map(|part| Table::from_bytes(&part.bytes).unwrap()).collect()
    }

    fn texts(table: &Table, column: &str) -> Vec<String> {
        table.column(column).unwrap().texts().into_iter().flatten().collect()
    }

    #[track_caller]
    fn check(rows: usize, ratios: &[f64], sizes: &[usize]) {
        let total: f64 = ratios.iter().sum();
        let shares: Vec<_> = ratios.iter().map(|ratio| ratio / total).collect();
        assert_eq!(apportion(rows, &shares, &mut vec![0.0; shares.len()]), sizes);
    }

    #[test]
    fn whole_rows_go_to_the_largest_remainders() {
        check(150, &[0.8, 0.2], &[120, 30]);
        check(10, &[0.7, 0.2, 0.1], &[7, 2, 1]);
        check(10, &[1.0, 1.0, 1.0], &[4, 3, 3]);
        check(11, &[1.0, 1.0, 1.0], &[4, 4, 3]);
        check(3, &[0.5, 0.25, 0.25], &[1, 1, 1]);
        check(1, &[0.9, 0.1], &[1, 0]);
        check(7, &[5.0], &[7]);
    }

    #[test]
    fn a_stratified_split_of_iris_has_40_and_10_of_each_species() {
        let iris = Table::from_csv(IRIS).unwrap();
        let spec = spec(&[("train", 0.8), ("test", 0.2)], Some("species"));
        for (part, each) in parts(&spec, &iris).iter().zip([40, 10]) {
            let mut count = BTreeMap::new();
            texts(part, "species").into_iter().for_each(|x| *count.entry(x).or_insert(0) += 1);
            let want = ["setosa", "versicolor", "virginica"].map(|x| (x.to_owned(), each));
            assert_eq!(count, BTreeMap::from(want));
        }
    }

    #[test]
    fn where_the_order_decides_the_first_rows_make_the_first_part() {
        let table = Table::from_csv(b"x\n1\n2\n3\n4\n5\n6\n7\n").unwrap();
        let ratios = [("train", 0.7), ("test", 0.3)];
        let spec = Split { dealing: Dealing::InOrder, ..spec(&ratios, None) };
        let got =
            parts(&spec, &table).iter().map(|part| texts(part, "x").concat()).collect::<Vec<_>>();
        assert_eq!(got, ["12345", "67"]);
    }

    #[test]
    fn the_permutation_decides_who_goes_where_and_rows_keep_their_order() {
        let table = Table::from_csv(b"x,y\n1,a\n2,a\n3,b\n4,b\n5,\n6,b\n7,\n8,\n").unwrap();
        let got = parts(&spec(&[("l", 0.5), ("r", 0.5)], None), &table);
        let both = |got: &[Table]| [texts(&got[0], "x").concat(), texts(&got[1], "x").concat()];
        assert_eq!(both(&got), ["5678", "1234"]);
        // The null stratum is dealt first, then a, then b; r is owed the odd row of b.
        let got = parts(&spec(&[("l", 0.5), ("r", 0.5)], Some("y")), &table);
        assert_eq!(both(&got), ["2678", "1345"]);
    }

    #[test]
    fn small_strata_are_divided_in_proportion_too() {
        let ids: String = (0..100).map(|i| format!("{}\n", i / 2)).collect();
        let table = Table::from_csv(format!("id\n{ids}").as_bytes()).unwrap();
        let sizes: Vec<_> = parts(&spec(&[("a", 0.8), ("b", 0.2)], Some("id")), &table)
            .iter()
            .map(Table::rows)
            .collect();
        assert_eq!(sizes, [80, 20]);
    }

    #[test]
    fn groups_stay_whole_and_go_where_most_is_lacking() {
        let table = Table::from_csv(b"x,k\n1,a\n2,b\n3,a\n4,\n5,c\n6,c\n7,\n8,c\n9,b\n").unwrap();
        // c has as many digits as a and b; the lot, backwards, deals c, b, a and the rows without.
        let got = parts(&by(&[("l", 0.5), ("r", 0.5)], "k"), &table);
        assert_eq!(texts(&got[0], "x"), ["4", "5", "6", "7", "8"]);
        assert_eq!(texts(&got[1], "x"), ["1", "2", "3", "9"]);
        // A group that is larger than all shares but one leaves the others to the rest.
        let table = Table::from_csv(b"k\na\na\na\na\na\na\na\na\nb\nc\n").unwrap();
        let got = parts(&by(&[("l", 0.9), ("m", 0.05), ("r", 0.05)], "k"), &table);
        assert_eq!(got.iter().map(Table::rows).collect::<Vec<_>>(), [8, 1, 1]);
    }

    #[test]
    fn every_stratum_has_its_own_permutation_and_the_seed_reaches_it() {
        let table = Table::from_csv(b"y\na\na\nb\nb\nb\n").unwrap();
        let asked = std::cell::RefCell::new(Vec::new());
        let record = |seed, stratum, rows| {
            asked.borrow_mut().push((seed, stratum, rows));
            backwards(seed, stratum, rows)
        };
        run(&spec(&[("all", 1.0)], Some("y")), &table, record).unwrap();
        assert_eq!(asked.into_inner(), [(7, 0, 2), (7, 1, 3)]);
    }

    #[test]
    fn what_cannot_be_split_is_a_fault() {
        let table = Table::from_csv(b"x\n1\n2\n").unwrap();
        let fault = |ratios: &[(&str, f64)], stratify| {
            run(&spec(ratios, stratify), &table, backwards).unwrap_err().message
        };
        assert_eq!(fault(&[("a", 0.9), ("b", 0.1)], None), "part \"b\" gets none of the 2 rows");
        assert_eq!(fault(&[("a", 1.0)], Some("z")), "the table has no column \"z\"");
        assert_eq!(fault(&[("a", 1.0), ("a", 1.0)], None), "two parts of a split have one name");
        let species = Table::from_csv(b"y,k\na,u\na,u\nb,u\n").unwrap();
        let stratified = run(&spec(&[("a", 0.5), ("b", 0.5)], Some("y")), &species, backwards);
        let message = "column \"y\" has the value \"b\" in one row only";
        assert_eq!(stratified.unwrap_err().message, message);
        let grouped = run(&by(&[("a", 0.5), ("b", 0.5)], "k"), &species, backwards);
        let message = "column \"k\" has fewer values than there are parts: 1 for 2";
        assert_eq!(grouped.unwrap_err().message, message);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let message = fault(&[("a", 1.0), ("b", bad)], None);
            assert_eq!(message, "the ratios of a split must be positive numbers");
        }
        assert_eq!(fault(&[], None), "the ratios of a split must be positive numbers");
        assert_eq!(
            fault(&[("a", f64::MAX), ("b", f64::MAX)], None),
            "the ratios of a split must be positive numbers"
        );
    }

    proptest! {
        #[test]
        fn no_group_is_divided_and_no_part_has_more_than_one_too_many(
            sizes in proptest::collection::vec(1usize..50, 4..40),
            ratios in proptest::collection::vec(0.01f64..10.0, 1..4),
            seed: u64,
        ) {
            let total: f64 = ratios.iter().sum();
            let shares: Vec<_> = ratios.iter().map(|ratio| ratio / total).collect();
            let mut next = 0..;
            let groups: Vec<Vec<usize>> =
                sizes.iter().map(|size| next.by_ref().take(*size).collect()).collect();
            let lot = Philox::new(seed, purpose::SPLIT, 0).permutation(groups.len() as u32);
            let parts = deal_groups(groups.clone(), &lot, &shares);
            let mut all: Vec<_> = parts.iter().flatten().copied().collect();
            all.sort_unstable();
            let rows: usize = sizes.iter().sum();
            prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
            for group in &groups {
                let holders = parts.iter().filter(|part| group.iter().any(|x| part.contains(x)));
                prop_assert_eq!(holders.count(), 1);
            }
            let largest = sizes.iter().max().copied().unwrap_or_default() as f64;
            for (part, share) in parts.iter().zip(&shares) {
                prop_assert!(!part.is_empty());
                prop_assert!(part.len() as f64 - share * rows as f64 <= largest);
            }
        }

        #[test]
        fn sizes_sum_to_the_rows_and_are_within_one_of_their_share(
            strata in proptest::collection::vec(1usize..500, 1..40),
            ratios in proptest::collection::vec(0.001f64..10.0, 1..8),
        ) {
            let total: f64 = ratios.iter().sum();
            let shares: Vec<_> = ratios.iter().map(|ratio| ratio / total).collect();
            let mut carried = vec![0.0; shares.len()];
            for rows in strata {
                let sizes = apportion(rows, &shares, &mut carried);
                prop_assert_eq!(sizes.iter().sum::<usize>(), rows);
                for (size, share) in sizes.iter().zip(&shares) {
                    prop_assert!((*size as f64 - share * rows as f64).abs() < 1.0 + 1e-9);
                }
                // What is owed is owed to somebody by somebody, and stays small.
                prop_assert!(carried.iter().sum::<f64>().abs() < 1e-6);
                prop_assert!(carried.iter().all(|owed| owed.abs() <= shares.len() as f64));
            }
        }
    }
}
