//! Blocks of Arrow files that lie about themselves. Never refuses what writers write.

use super::super::File;
use super::*;
use crate::domain::job::Format;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, types::Int8Type};
use arrow_ipc::writer::FileWriter;
use std::sync::Arc;

/// A file of three batches, which has a dictionary, and where the places of its blocks stand in it.
fn file() -> (Vec<u8>, Vec<usize>) {
    let batch = |from: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter(from..from + 100));
        let words: DictionaryArray<Int8Type> = (0..100).map(|_| "word").collect();
        RecordBatch::try_from_iter([("n", numbers), ("w", Arc::new(words) as ArrayRef)]).unwrap()
    };
    let batches = [batch(0), batch(100), batch(200)];
    let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    let bytes = writer.into_inner().unwrap();
    let end = bytes.len() - END;
    let length = i32::from_le_bytes(*bytes[end..].first_chunk().unwrap()) as usize;
    let footer = root_as_footer(&bytes[end - length..end]).unwrap();
    let all = footer.recordBatches().unwrap().iter().chain(footer.dictionaries().unwrap().iter());
    let at = |block: &Block| bytes.windows(24).rposition(|bytes| bytes == block.0).unwrap();
    let places = all.map(at).collect();
    (bytes, places)
}

fn open(bytes: Vec<u8>) -> Result<(), Fault> {
    File::open(Format::Arrow, bytes.into()).map(drop)
}

#[track_caller]
fn refuses(bytes: Vec<u8>, expect: &[&str]) {
    let fault = open(bytes).unwrap_err();
    let expect = expect.iter().map(|it| format!("the file cannot be read: \"{it}\""));
    assert!(expect.into_iter().any(|expect| fault.message == expect), "{fault:?}");
}

#[test]
fn a_block_that_is_not_in_the_file_is_refused_before_its_bytes_are_asked_for() {
    let (bytes, places) = file();
    assert_eq!(places.len(), 4);
    open(bytes.clone()).unwrap();
    for at in places {
        // One that reaches to the end lies on those behind it, too.
        let either = &["a block ends beyond it", "its blocks lie on one another"];
        for long in [20i64 << 30, 2_000_000, i64::MAX, -1] {
            let mut lie = bytes.clone();
            lie[at + 16..at + 24].copy_from_slice(&long.to_le_bytes());
            refuses(lie, either);
        }
        for from in [1i64 << 40, i64::MAX, -1] {
            let mut lie = bytes.clone();
            lie[at..at + 8].copy_from_slice(&from.to_le_bytes());
            refuses(lie, either);
        }
    }
}

#[test]
fn blocks_that_lie_on_one_another_are_refused() {
    let (bytes, places) = file();
    for from in &places {
        for to in places.iter().filter(|to| *to != from) {
            let mut lie = bytes.clone();
            lie.copy_within(*from..from + 24, *to);
            refuses(lie, &["its blocks lie on one another"]);
        }
    }
}

#[test]
fn a_footer_that_is_longer_than_the_file_is_not_made_room_for() {
    let (bytes, _) = file();
    let end = bytes.len() - END;
    for length in [i32::MAX, -1] {
        let mut lie = bytes.clone();
        lie[end..end + 4].copy_from_slice(&length.to_le_bytes());
        refuses(lie, &["it ends too early"]);
    }
    for cut in [0, 6, 9, 20] {
        assert!(open(bytes[..cut].to_vec()).is_err());
    }
}
