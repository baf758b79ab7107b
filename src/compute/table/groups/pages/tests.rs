//! Pages that no writer makes: each is a fault before memory is taken for it; and files as writers
//! make them are read. Never decompresses much.

use super::super::File;
use super::super::thrift::{Thrift, written as unsigned};
use super::{MultiGzDecoder, ProjectionMask, Window, check, differences};
use crate::compute::memory::Bound;
use crate::compute::{Cause, Fault};
use crate::domain::job::Format;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use bytes::Bytes;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

const PLAIN: i64 = 0;
const RLE: i64 = 3;
const DELTA_LENGTH: i64 = 6;
const DICTIONARY: i64 = 8;

const BARE: i64 = 0;
const SNAPPY: i64 = 1;
const GZIP: i64 = 2;

enum Of {
    Int(i64),
    Long(i64),
    Text(&'static str),
    Struct(Vec<u8>),
    /// Of this type.
    List(u8, Vec<Vec<u8>>),
}

fn signed(number: i64) -> Vec<u8> {
    unsigned((number << 1 ^ number >> 63) as u64)
}

fn text(text: &str) -> Vec<u8> {
    [unsigned(text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// A struct in thrift's compact protocol.
fn fields(all: Vec<(u8, Of)>) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for (id, of) in all {
        let (code, value) = match of {
            Of::Int(number) => (5, signed(number)),
            Of::Long(number) => (6, signed(number)),
            Of::Text(of) => (8, text(of)),
            Of::Struct(of) => (12, of),
            Of::List(code, all) => {
                (9, [vec![(all.len() as u8) << 4 | code], all.concat()].concat())
            }
        };
        match id > last {
            true => bytes.push((id - last) << 4 | code),
            // One that has been there, in full.
            false => bytes.extend([vec![code], signed(i64::from(id))].concat()),
        }
        bytes.extend(value);
        last = id;
    }
    bytes.push(0);
    bytes
}

/// A page that says that it has so many bytes and values.
fn page(encoding: i64, values: i64, says: i64, body: &[u8]) -> Vec<u8> {
    let of = |encoding| {
        let mut all = vec![(1, Of::Int(values)), (2, Of::Int(encoding))];
        if encoding != DICTIONARY {
            all.extend([(3, Of::Int(RLE)), (4, Of::Int(RLE))]);
        }
        Of::Struct(fields(all))
    };
    let (kind, field) = if encoding == DICTIONARY { (2, 7) } else { (0, 5) };
    let sizes = vec![(1, Of::Int(kind)), (2, Of::Int(says)), (3, Of::Int(body.len() as i64))];
    let header = fields(sizes.into_iter().chain([(field, of(encoding))]).collect());
    [header, body.to_vec()].concat()
}

/// A file of one column of texts, none of which is missing.
fn file(codec: i64, rows: i64, pages: &[Vec<u8>]) -> Vec<u8> {
    let body = pages.concat();
    let root = fields(vec![(4, Of::Text("root")), (5, Of::Int(1))]);
    let leaf = vec![(1, Of::Int(6)), (3, Of::Int(0)), (4, Of::Text("x")), (6, Of::Int(0))];
    let column = fields(vec![
        (1, Of::Int(6)),
        (2, Of::List(5, vec![signed(PLAIN)])),
        (3, Of::List(8, vec![text("x")])),
        (4, Of::Int(codec)),
        (5, Of::Long(rows)),
        (6, Of::Long(body.len() as i64)),
        (7, Of::Long(body.len() as i64)),
        (9, Of::Long(4)),
    ]);
    let chunk = fields(vec![(2, Of::Long(0)), (3, Of::Struct(column))]);
    let group = fields(vec![
        (1, Of::List(12, vec![chunk])),
        (2, Of::Long(body.len() as i64)),
        (3, Of::Long(rows)),
    ]);
    let footer = fields(vec![
        (1, Of::Int(2)),
        (2, Of::List(12, vec![root, fields(leaf)])),
        (3, Of::Long(rows)),
        (4, Of::List(12, vec![group])),
    ]);
    let size = (footer.len() as u32).to_le_bytes();
    [b"PAR1".as_slice(), &body, &footer, &size, b"PAR1"].concat()
}

/// Rows, and bytes of texts, read by a job of 256 MiB.
fn read(bytes: Vec<u8>) -> Result<(usize, usize), Fault> {
    read_with(bytes, &["x"])
}

/// The same, and columns beside that of texts.
fn read_with(bytes: Vec<u8>, names: &[&str]) -> Result<(usize, usize), Fault> {
    let file = File::open(Format::Parquet, Bytes::from(bytes))?;
    Bound::new(256 << 20).hold(0, || {
        let mut sum = (0, 0);
        file.read((0, u32::MAX), names, &mut |batch| {
            let column = batch.rows.column_by_name("x").unwrap();
            sum = (sum.0 + column.len(), sum.1 + super::super::bytes_of(column.as_ref()));
            Ok(true)
        })?;
        Ok(sum)
    })
}

#[track_caller]
fn refused(bytes: Vec<u8>, expect: &str) {
    let fault = read(bytes).unwrap_err();
    assert!(fault.message.contains(expect), "{fault:?}");
}

fn entry(text: &str) -> Vec<u8> {
    [(text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn pages_by_hand_are_read() {
    let two = [entry("a"), entry("bcd")].concat();
    let long = two.len() as i64;
    assert_eq!(read(file(BARE, 2, &[page(PLAIN, 2, long, &two)])).unwrap(), (2, 4));
    assert_eq!(read(file(GZIP, 2, &[page(PLAIN, 2, long, &gzip(&two))])).unwrap(), (2, 4));
}

#[test]
fn a_page_that_says_it_has_gigabytes_is_refused_by_what_the_job_may_take() {
    let fault = read(file(SNAPPY, 1, &[page(PLAIN, 1, i64::from(i32::MAX), &[1, 0, 0])]));
    assert_eq!(fault.unwrap_err().cause, Cause::Memory);
    // Many of one row are in one batch.
    let pages = vec![page(PLAIN, 1, 1 << 20, &[1, 0, 0]); 300];
    assert_eq!(read(file(SNAPPY, 300, &pages)).unwrap_err().cause, Cause::Memory);
    // Without a bound of the job, there is one of a table.
    let bytes = file(SNAPPY, 3, &vec![page(PLAIN, 1, i64::from(i32::MAX), &[1, 0, 0]); 3]);
    let file = File::open(Format::Parquet, Bytes::from(bytes)).unwrap();
    let fault = file.read((0, 1), &["x"], &mut |_| Ok(true)).unwrap_err();
    assert!(fault.message.contains("than any table has"), "{fault:?}");
}

#[test]
fn a_page_that_inflates_to_more_than_it_says_is_refused() {
    let bomb = gzip(&vec![0; 100 << 20]);
    let mut twice = Vec::new();
    MultiGzDecoder::new([&bomb[..], &bomb].concat().as_slice()).read_to_end(&mut twice).unwrap();
    assert_eq!(twice.len(), 200 << 20);
    refused(file(GZIP, 1, &[page(PLAIN, 1, 100, &bomb)]), "more bytes than it says");
}

#[test]
fn a_dictionary_has_no_more_values_than_bytes() {
    let says = |values| page(DICTIONARY, values, 5, &entry("a"));
    let refer = page(DICTIONARY, 1, 5, &entry("a"));
    let keys = page(2, 1, 3, &[1, 2, 0]);
    assert_eq!(read(file(BARE, 1, &[refer, keys.clone()])).unwrap(), (1, 1));
    refused(file(BARE, 1, &[says(i64::from(i32::MAX)), keys.clone()]), "too many values");
    refused(file(BARE, 1, &[says(-1), keys]), "cannot be read");
}

#[test]
fn lengths_by_their_differences_are_as_many_as_values() {
    let lengths = |count: u64| {
        let head = [unsigned(128), unsigned(4), unsigned(count), signed(3)].concat();
        let body = [head, b"abc".to_vec()].concat();
        file(BARE, 1, &[page(DELTA_LENGTH, 1, body.len() as i64, &body)])
    };
    assert_eq!(read(lengths(1)).unwrap(), (1, 3));
    for count in [2, 1 << 40, i64::MAX as u64] {
        refused(lengths(count), "too many values");
    }
    let many = page(DELTA_LENGTH, i64::from(i32::MAX), 9, &[0; 9]);
    refused(file(BARE, 1, &[many]), "than any table has");
}

#[test]
fn lengths_by_their_differences_are_added_up() {
    let list = |count: u64, first: i64, blocks: &[(i64, u8, &[u8])]| {
        let mut bytes = [unsigned(128), unsigned(4), unsigned(count), signed(first)].concat();
        for (least, width, packed) in blocks {
            bytes.extend([signed(*least), vec![*width; 4], packed.to_vec()].concat());
        }
        bytes
    };
    let sum = |bytes: Vec<u8>| {
        let mut from = Thrift::new(&bytes);
        differences(&mut from, 1_000).map(|sum| (sum, from.left()))
    };
    assert_eq!(sum(list(0, 5, &[])).unwrap(), (0, 0));
    assert_eq!(sum(list(1, 5, &[])).unwrap(), (5, 0));
    assert_eq!(sum(list(4, 5, &[(2, 0, &[])])).unwrap(), (5 + 7 + 9 + 11, 0));
    // 1, 2, 3 and 0 in two bits each, of which only the first part has bytes.
    let packed = [&[0b00_11_10_01][..], &[0; 7]].concat();
    assert_eq!(sum(list(5, 0, &[(0, 2, &packed)])).unwrap(), (1 + 3 + 6 + 6, 0));
    let ones = [255; 4 * 4 * 5];
    let (two, all) = ([(0, 5, &ones[..]), (-31, 5, &ones[..])], 128 * 31 * 129 / 2);
    assert_eq!(sum(list(257, 0, &two)).unwrap(), (all + 128 * 128 * 31, 0));
    assert!(sum(list(3, 0, &[(-1, 0, &[])])).is_err(), "less than nothing");
    assert!(sum(list(1_001, 0, &[])).unwrap_err().message.contains("too many values"));
    assert!(sum(list(5, 0, &[(0, 2, &packed[..7])])).is_err(), "it ends before");
    for (block, parts) in [(128, 0), (0, 4), (128, 64), (u64::MAX, 1)] {
        let bytes = [unsigned(block), unsigned(parts), unsigned(9), vec![0; 99]].concat();
        assert!(sum(bytes).is_err(), "{block} in {parts}");
    }
}

#[test]
fn what_texts_repeat_of_those_before_them_is_counted() {
    let file = |long: usize| {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(long); 100]));
        let batch = RecordBatch::try_from_iter([("x", texts)]).unwrap();
        let properties = WriterProperties::builder().set_dictionary_enabled(false);
        let properties = properties.set_encoding(Encoding::DELTA_BYTE_ARRAY).build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert!(bytes.len() < 3 * long, "it has {} bytes", bytes.len());
        bytes
    };
    let bytes = Bytes::from(file(1 << 20));
    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let pages = check(&bytes, reader.metadata().row_group(0), &ProjectionMask::all()).unwrap();
    assert!((100 << 20..110 << 20).contains(&pages), "{pages}");
    assert_eq!(read(file(1 << 20)).unwrap(), (100, 100 << 20));
    assert_eq!(read(file(4 << 20)).unwrap_err().cause, Cause::Memory);
}

#[test]
fn a_page_of_two_kinds_and_one_that_says_something_twice_are_refused() {
    let body = entry("a");
    let v1 = || {
        Of::Struct(fields(
            [1, 0, 3, 3].into_iter().zip(1..).map(|(n, id)| (id, Of::Int(n))).collect(),
        ))
    };
    let v2 = || Of::Struct(fields(vec![(5, Of::Int(8)), (6, Of::Int(0))]));
    let sizes = || vec![(1, Of::Int(0)), (2, Of::Int(5)), (3, Of::Int(5))];
    let made = |more: Vec<(u8, Of)>| {
        let header = fields(sizes().into_iter().chain(more).collect());
        file(BARE, 1, &[[header, body.clone()].concat()])
    };
    assert_eq!(read(made(vec![(5, v1())])).unwrap(), (1, 1));
    refused(made(vec![(5, v1()), (8, v2())]), "of two kinds");
    refused(made(vec![(5, v1()), (5, v1())]), "twice");
}

#[test]
fn a_batch_is_of_pages_that_are_near() {
    let most = |pages: &[(usize, usize)], times: usize| {
        let mut window = Window::default();
        for _ in 0..times {
            pages.iter().for_each(|(rows, bytes)| window.push(*rows, *bytes));
        }
        window.most
    };
    assert_eq!(most(&[(20_000, 7)], 1000), 2 * 7);
    assert_eq!(most(&[(1, 7)], 20_000), 8192 * 7);
    assert_eq!(most(&[(8190, 7), (1, 2)], 1000), 2 * 7 + 2);
    assert_eq!(most(&[(0, 7)], 1000), 7);
}

#[test]
fn what_writers_write_is_read() {
    let some = |i: usize| (!i.is_multiple_of(7)).then(|| format!("text {}", i * i % 9973));
    let texts: Vec<Option<String>> = (0..30_000).map(some).collect();
    let expect = (texts.len(), texts.iter().flatten().map(String::len).sum());
    let column: ArrayRef = Arc::new(StringArray::from(texts));
    let reals = (0..30_000).map(|i| (i % 5 > 0).then_some(f64::from(i)));
    let reals: ArrayRef = Arc::new(reals.collect::<Float64Array>());
    let truths: ArrayRef = Arc::new((0..30_000).map(|i| Some(i % 3 > 0)).collect::<BooleanArray>());
    let all = [("x", column, true), ("real", reals, true), ("truth", truths, true)];
    let batch = RecordBatch::try_from_iter_with_nullable(all).unwrap();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(Default::default()),
        Compression::GZIP(Default::default()),
    ];
    for codec in codecs {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in [
                None,
                Some(Encoding::PLAIN),
                Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
                Some(Encoding::DELTA_BYTE_ARRAY),
            ] {
                let properties = WriterProperties::builder().set_compression(codec);
                let properties = properties.set_writer_version(version);
                let properties = match encoding {
                    Some(of) => properties
                        .set_column_dictionary_enabled("x".into(), false)
                        .set_column_encoding("x".into(), of),
                    None => properties,
                };
                let mut bytes = Vec::new();
                // What does not fit a dictionary goes on in another encoding.
                let properties = properties.set_dictionary_page_size_limit(16 << 10);
                let properties = Some(properties.set_data_page_size_limit(64 << 10).build());
                let mut writer =
                    ArrowWriter::try_new(&mut bytes, batch.schema(), properties).unwrap();
                writer.write(&batch).unwrap();
                writer.close().unwrap();
                let found = read_with(bytes, &["x", "real", "truth"]).unwrap();
                assert_eq!(found, expect, "{codec:?} {version:?} {encoding:?}");
            }
        }
    }
}
