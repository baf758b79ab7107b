//! Footers that no writer makes: each is a fault, on a thread with as little stack as a worker's.
//! Never reads a page.

use super::super::File;
use super::super::thrift::written as number;
use super::check;
use crate::compute::Fault;
use crate::domain::job::Format;
use bytes::Bytes;

/// A column, or a group of so many: it may be missing, and has this name.
fn node(name: &str, children: Option<i32>) -> Vec<u8> {
    let mut bytes = match children {
        None => vec![0x15, 2, 0x25, 2], // of 32 bits, optional
        Some(_) => vec![0x35, 2],
    };
    bytes.extend([0x18].into_iter().chain(number(name.len() as u64)).chain(name.bytes()));
    if let Some(children) = children {
        bytes.push(0x15);
        bytes.extend(number(u64::from((children << 1 ^ children >> 31) as u32)));
    }
    bytes.push(0);
    bytes
}

/// A file without rows, whose footer lists these.
fn file(nodes: &[Vec<u8>]) -> Vec<u8> {
    let list = [vec![0x15, 2, 0x19, 0xfc], number(nodes.len() as u64), nodes.concat()].concat();
    let footer = [list, vec![0x16, 0, 0x19, 0x0c, 0]].concat();
    let size = (footer.len() as u32).to_le_bytes();
    [b"PAR1".as_slice(), &footer, &size, b"PAR1"].concat()
}

fn open(nodes: &[Vec<u8>]) -> Result<(), Fault> {
    let bytes = Bytes::from(file(nodes));
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let opened = thread.spawn(move || File::open(Format::Parquet, bytes).map(drop)).unwrap();
    opened.join().unwrap()
}

#[track_caller]
fn refused(nodes: &[Vec<u8>], expect: &str) {
    let fault = open(nodes).unwrap_err();
    assert!(fault.message.contains(expect), "{fault:?}");
}

#[test]
fn a_tree_of_columns_is_followed_as_far_as_the_stack_reaches() {
    let chain = |deep: usize| {
        let mut nodes = vec![node("a", Some(1)); deep];
        nodes.push(node("x", None));
        nodes
    };
    open(&chain(2)).unwrap();
    open(&chain(64)).unwrap();
    refused(&chain(65), "nests too deep");
    refused(&vec![node("a", Some(1)); 100_000], "has too many columns");
    refused(&vec![node("a", Some(1)); 60_000], "nests too deep");
    // Groups that are full are no longer open.
    let wide: Vec<_> = (0..1000).flat_map(|_| [node("g", Some(1)), node("x", None)]).collect();
    open(&[vec![node("root", Some(1000))], wide].concat()).unwrap();
}

#[test]
fn a_group_has_no_more_columns_than_are_listed() {
    refused(&[node("a", Some(i32::MAX)), node("x", None)], "fewer columns than it has");
    refused(&[node("a", Some(2)), node("x", None)], "fewer columns than it has");
    refused(&[node("a", Some(-1)), node("x", None)], "fewer than no columns");
    open(&[node("a", Some(1)), node("x", None)]).unwrap();
}

#[test]
fn long_names_of_groups_are_not_repeated_without_end() {
    let long = "n".repeat(1 << 20);
    let columns = vec![node("x", None); 1000];
    let nodes = [vec![node("root", Some(1)), node(&long, Some(1000))], columns].concat();
    refused(&nodes, "too long names");
}

#[test]
fn what_the_crate_would_read_otherwise_is_refused() {
    // The number of columns as a text: skipped by its type, it would hide what the crate reads.
    let mut lie = node("a", Some(1));
    let at = lie.len() - 3;
    lie[at] = 0x18;
    refused(&[lie, node("x", None)], "contradict");
    // Columns before the version, or numbers without end.
    let bytes = file(&[node("a", Some(1)), node("x", None)]);
    let mut swapped = bytes.clone();
    swapped[4] = 0x25;
    check(&swapped).unwrap_err();
    for at in 4..bytes.len() - 8 {
        for fill in [0x00, 0x7f, 0x80, 0xff] {
            let mut lie = bytes.clone();
            lie[at] = fill;
            let _ = File::open(Format::Parquet, Bytes::from(lie));
        }
    }
    check(b"PAR1").unwrap_err();
    check(&[0xff; 8]).unwrap_err();
}
