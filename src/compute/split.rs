//! Splits: the rows of a table divided into named parts, by lot and in proportion.
//! Never draws the lot itself: the permutation of the rows is an argument.
//!
//! Each stratum (all rows, or the rows of one value of the stratifying column, ascending as text,
//! rows without a value first) is permuted and cut into consecutive pieces, one per part. A piece
//! is the part's exact share rounded down or up; whole rows that are left go to the largest
//! remainders, where what earlier strata rounded away counts too. So a part is within one row of
//! its share in every stratum, and close to it over all of them, even if every stratum is one row.
//! Rows keep their order inside a part.

use super::table::Table;
use super::{Fault, Named, quote};
use crate::domain::job::Split;
use std::collections::{BTreeMap, BTreeSet};

/// Divides `table`. `permutation(seed, stratum, rows)` gives 0..rows in an order that follows from
/// its arguments alone. The parts come in the order of the ratios; none is empty.
pub fn run(
    spec: &Split,
    table: &Table,
    permutation: impl Fn(u64, u64, usize) -> Vec<u32>,
) -> Result<Vec<Named>, Fault> {
    let strata = strata(spec, table)?;
    let parts = deal(&strata, &shares(spec)?, |stratum, rows| {
        permutation(spec.seed, u64::from(stratum), rows)
    });
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

/// The rows of each stratum, ascending.
fn strata(spec: &Split, table: &Table) -> Result<Vec<Vec<usize>>, Fault> {
    let Some(column) = &spec.stratify else { return Ok(vec![(0..table.rows()).collect()]) };
    let mut strata: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for (row, value) in table.column(column)?.texts().into_iter().enumerate() {
        strata.entry(value).or_default().push(row);
    }
    Ok(strata.into_values().collect())
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
    use proptest::prelude::*;

    const IRIS: &[u8] = include_bytes!("../../manifests/data/iris.csv");

    fn spec(ratios: &[(&str, f64)], stratify: Option<&str>) -> Split {
        let ratios = ratios.iter().map(|(name, ratio)| (name.to_string(), *ratio)).collect();
        Split { ratios, stratify: stratify.map(str::to_owned), seed: 7 }
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
    fn the_permutation_decides_who_goes_where_and_rows_keep_their_order() {
        let table = Table::from_csv(b"x,y\n1,a\n2,a\n3,b\n4,b\n5,\n6,b\n").unwrap();
        let got = parts(&spec(&[("l", 0.5), ("r", 0.5)], None), &table);
        assert_eq!([texts(&got[0], "x"), texts(&got[1], "x")], [["4", "5", "6"], ["1", "2", "3"]]);
        // The null stratum is dealt first, then a, then b; r is owed the odd row of b.
        let got = parts(&spec(&[("l", 0.5), ("r", 0.5)], Some("y")), &table);
        assert_eq!([texts(&got[0], "x"), texts(&got[1], "x")], [["2", "5", "6"], ["1", "3", "4"]]);
    }

    #[test]
    fn strata_of_one_row_are_divided_in_proportion_too() {
        let ids: String = (0..100).map(|i| format!("{i}\n")).collect();
        let table = Table::from_csv(format!("id\n{ids}").as_bytes()).unwrap();
        let sizes: Vec<_> = parts(&spec(&[("a", 0.8), ("b", 0.2)], Some("id")), &table)
            .iter()
            .map(Table::rows)
            .collect();
        assert_eq!(sizes, [80, 20]);
    }

    #[test]
    fn every_stratum_has_its_own_permutation_and_the_seed_reaches_it() {
        let table = Table::from_csv(b"y\na\nb\nb\n").unwrap();
        let asked = std::cell::RefCell::new(Vec::new());
        let record = |seed, stratum, rows| {
            asked.borrow_mut().push((seed, stratum, rows));
            backwards(seed, stratum, rows)
        };
        run(&spec(&[("all", 1.0)], Some("y")), &table, record).unwrap();
        assert_eq!(asked.into_inner(), [(7, 0, 1), (7, 1, 2)]);
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
