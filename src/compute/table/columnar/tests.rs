//! Laws of parquet and Arrow files: they read as what was written, group by group, and bytes that
//! are no such file are refused. Never opens a file.

use super::super::{read_chunks, survey};
use super::*;
use crate::compute::Cause;
use crate::compute::memory::Bound;
use crate::domain::job::{Declared, Format};
use arrow_array::builder::{ListBuilder, StringDictionaryBuilder};
use arrow_array::types::Int8Type;
use arrow_array::{
    Date32Array, Decimal128Array, DurationSecondArray, Float32Array, Float64Array, Int8Array,
    Int64Array, LargeStringArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;
use std::sync::Arc;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn parquet(batches: &[RecordBatch]) -> Vec<u8> {
    let properties = WriterProperties::builder().build();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
        writer.flush().unwrap(); // a row group for each
    }
    writer.close().unwrap();
    bytes
}

fn file(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn reading(format: Format) -> Reading {
    Reading { format, nulls: Vec::new(), ..Reading::csv() }
}

/// The file in each format.
fn all(batches: &[RecordBatch]) -> [(Format, Vec<u8>); 3] {
    [
        (Format::Parquet, parquet(batches)),
        (Format::Arrow, file(batches)),
        (Format::Arrow, stream(batches)),
    ]
}

fn read(
    reading: &Reading,
    bytes: &[u8],
    change: impl Fn(&mut Ingest),
) -> Result<(Table, BadRows), Fault> {
    let (survey, cuts) = survey(reading, None, bytes)?;
    let chunks = cuts.iter().flat_map(|cut| cut.chunks.clone()).collect();
    let mut spec = Ingest { columns: survey.columns, chunks, ..Ingest::unpinned(reading.clone()) };
    change(&mut spec);
    let artifacts: Vec<&[u8]> = cuts.iter().map(|cut| cut.bytes.as_slice()).collect();
    read_chunks(&spec, &artifacts)
}

fn shown(table: &Table) -> Vec<String> {
    let line = |column: &Column| {
        let cells = table.column(&column.name).unwrap().texts();
        let cells: Vec<_> = cells.into_iter().map(|c| c.unwrap_or("NULL".into())).collect();
        format!("{} {:?} {}", column.name, column.kind, cells.join("|"))
    };
    table.schema().iter().map(line).collect()
}

#[track_caller]
fn check(columns: Vec<(&str, ArrayRef)>, want: &[&str]) {
    for (format, bytes) in all(&[batch(columns.clone())]) {
        let (table, rows) = read(&reading(format), &bytes, |_| {}).unwrap();
        assert_eq!(shown(&table), want, "{format:?}");
        assert_eq!(rows.bad, 0);
    }
}

#[test]
fn each_type_has_its_kind() {
    let mut words = StringDictionaryBuilder::<Int8Type>::new();
    words.extend(["x", "y", "x"].map(Some));
    check(
        vec![
            ("tiny", Arc::new(Int8Array::from(vec![Some(-1), None, Some(2)]))),
            ("big", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 0]))),
            ("float", Arc::new(Float32Array::from(vec![0.5, -0.0, 3e38]))),
            ("text", Arc::new(LargeStringArray::from(vec![Some("é"), Some(""), None]))),
            ("word", Arc::new(words.finish())),
            ("truth", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ],
        &[
            "tiny Integer -1|NULL|2",
            "big Integer 9223372036854775807|-9223372036854775808|0",
            "float Real 0.5|-0|300000000549775580000000000000000000000",
            "text Text é||NULL",
            "word Text x|y|x",
            "truth Truth true|NULL|false",
        ],
    );
}

#[test]
fn times_are_text_and_decimals_are_the_nearest_real() {
    let instant = TimestampMillisecondArray::from(vec![Some(1_500), None]);
    let decimal = |digits, places| {
        let cells = Decimal128Array::from(vec![Some(12_345), Some(-1)]);
        Arc::new(cells.with_precision_and_scale(digits, places).unwrap()) as ArrayRef
    };
    check(
        vec![
            ("day", Arc::new(Date32Array::from(vec![Some(0), None]))),
            ("plain", Arc::new(instant.clone())),
            ("zoned", Arc::new(instant.with_timezone("UTC"))),
            ("money", decimal(20, 2)),
            ("count", decimal(18, 0)),
        ],
        &[
            "day Text 1970-01-01|NULL",
            "plain Text 1970-01-01T00:00:01.500|NULL",
            "zoned Text 1970-01-01T00:00:01.500Z|NULL",
            "money Real 123.45|-0.01",
            "count Integer 12345|-1",
        ],
    );
    let took = batch(vec![("took", Arc::new(DurationSecondArray::from(vec![90])))]);
    let (table, _) = read(&reading(Format::Arrow), &file(&[took]), |_| {}).unwrap();
    assert_eq!(shown(&table), ["took Integer 90"]);
}

#[test]
fn a_declared_kind_is_what_a_column_becomes() {
    let declare = |name: &str, kind| Declared { name: name.into(), kind: Some(kind) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("when", Arc::new(TimestampMillisecondArray::from(vec![1_500]))),
        ("code", Arc::new(Int64Array::from(vec![7]))),
        ("size", Arc::new(StringArray::from(vec!["2.5"]))),
    ];
    for (format, bytes) in all(&[batch(columns)]) {
        let columns = vec![
            declare("when", ColumnKind::Integer),
            declare("code", ColumnKind::Text),
            declare("size", ColumnKind::Real),
        ];
        let (table, _) = read(&Reading { columns, ..reading(format) }, &bytes, |_| {}).unwrap();
        assert_eq!(shown(&table), ["when Integer 1500", "code Text 7", "size Real 2.5"]);
    }
}

#[test]
fn what_no_table_holds_is_refused_unless_it_is_left_out() {
    let mut list = ListBuilder::new(arrow_array::builder::Int64Builder::new());
    list.append_value([Some(1)]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("a", Arc::new(list.finish())), ("b", Arc::new(Int64Array::from(vec![1])))];
    for (format, bytes) in all(&[batch(columns)]) {
        let fault = read(&reading(format), &bytes, |_| {}).unwrap_err();
        assert_eq!(fault.message, "column \"a\" is a list");
        let columns = vec![Declared { name: "b".into(), kind: None }];
        let (table, _) = read(&Reading { columns, ..reading(format) }, &bytes, |_| {}).unwrap();
        assert_eq!(shown(&table), ["b Integer 1"]);
        let columns = vec![Declared { name: "c".into(), kind: None }];
        let fault = read(&Reading { columns, ..reading(format) }, &bytes, |_| {}).unwrap_err();
        assert_eq!(fault.message, "the table has no column \"c\"");
    }
}

#[test]
fn cells_that_no_table_holds_make_their_row_a_bad_one() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("x", Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None, Some(4.0)]))),
        ("n", Arc::new(UInt64Array::from(vec![1, 2, 3, u64::MAX]))),
    ];
    for (format, bytes) in all(&[batch(columns)]) {
        let policy = |on_bad_row| Reading { on_bad_row, ..reading(format) };
        let fault = read(&policy(OnBadRow::Fail), &bytes, |_| {}).unwrap_err();
        assert_eq!(fault.message, "row 2 has \"NaN\" in column \"x\", not a finite number");
        let (table, rows) = read(&policy(OnBadRow::Skip), &bytes, |_| {}).unwrap();
        assert_eq!(shown(&table), ["x Real 1|NULL", "n Integer 1|3"]);
        assert_eq!((rows.rows, rows.bad), (4, 2));
        assert_eq!(rows.offenders[1].line, 4);
        let (table, _) = read(&policy(OnBadRow::Null), &bytes, |_| {}).unwrap();
        assert_eq!(shown(&table), ["x Real 1|NULL|NULL|4", "n Integer 1|2|3|NULL"]);
        // A column that is not read makes no row a bad one.
        let keep = |spec: &mut Ingest| spec.keep = Some(vec!["n".into()]);
        let (table, rows) = read(&policy(OnBadRow::Null), &bytes, keep).unwrap();
        assert_eq!((shown(&table), rows.bad), (vec!["n Integer 1|2|3|NULL".to_owned()], 1));
    }
}

#[test]
fn chunks_are_groups_of_the_whole_file_and_read_by_themselves() {
    let part = |from: i64| batch(vec![("n", Arc::new(Int64Array::from_iter(from..from + 10)))]);
    let parts: Vec<RecordBatch> = (0..5).map(|index| part(index * 10)).collect();
    for (format, bytes) in all(&parts) {
        let mut surveyor =
            super::super::Surveyor::new(&reading(format), Some(ChunkTarget::Rows(15)));
        surveyor.begin("f").unwrap();
        for piece in bytes.chunks(100) {
            assert_eq!(surveyor.feed(piece).unwrap(), []);
        }
        let cuts = surveyor.end().unwrap();
        assert_eq!((cuts.len(), &cuts[0].bytes), (1, &bytes));
        let chunks = &cuts[0].chunks;
        let places: Vec<_> = chunks.iter().map(|c| (c.first_line, c.rows, c.groups)).collect();
        let groups = |first, count| Some(Groups { first, count });
        assert_eq!(places, [(1, 20, groups(0, 2)), (21, 20, groups(2, 2)), (41, 10, groups(4, 1))]);
        let columns = surveyor.finish().unwrap().columns;
        for (index, rows) in [0..20, 20..40, 40..50].into_iter().enumerate() {
            let chunks = vec![chunks[index].clone()];
            let spec =
                Ingest { columns: columns.clone(), chunks, ..Ingest::unpinned(reading(format)) };
            let (table, _) = read_chunks(&spec, &[&bytes]).unwrap();
            let want = Table::new(std::iter::once((
                "n".to_owned(),
                Arc::new(Int64Array::from_iter(rows)) as ArrayRef,
            )));
            assert_eq!(Some(table), want);
        }
        let (table, rows) = read(&reading(format), &bytes, |spec| spec.limit = Some(12)).unwrap();
        assert_eq!((table.rows(), rows.rows), (12, 12));
    }
}

#[test]
fn what_is_no_such_file_is_refused() {
    for format in [Format::Parquet, Format::Arrow] {
        for bytes in [&b""[..], b"a,b\n1,2\n", b"PAR1", b"PAR1PAR1", b"ARROW1\0\0"] {
            let fault = survey(&reading(format), None, bytes).unwrap_err();
            assert!(fault.message.starts_with("the file cannot be read"), "{fault:?}");
        }
    }
    let empty =
        RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])));
    for (format, bytes) in all(&[empty]) {
        let fault = survey(&reading(format), None, &bytes).unwrap_err();
        assert_eq!(fault.message, "the source has no rows");
    }
}

/// One real, brotli, of pyarrow 26.
const BROTLI: &str = "\
    504152311500151c15242c15021500150615061c0000001b0d00008431e07a9645f5926496402e1a\
    3e1504192c35001806736368656d61150200150a2502180161001602191c191c26001c150a192506\
    0019180161150816021642164a2608491c150015001502003c290619260002000000164216022608\
    164a002820706172717565742d6370702d6172726f772076657273696f6e2032362e302e31191c1c\
    0000007a00000050415231";
/// One real, lz4, of pyarrow 26.
const LZ4: &str = "\
    504152311500151c151e2c15021500150615061c000000e0020000000201000000000000f83f1504\
    192c35001806736368656d61150200150a2502180161001602191c191c26001c150a192506001918\
    0161150e1602164216442608491c150015001502003c290619260002000000164216022608164400\
    2820706172717565742d6370702d6172726f772076657273696f6e2032362e302e31191c1c000000\
    7a00000050415231";
/// 64 reals in a stream, each buffer a frame of lz4, of pyarrow 26.
const FRAMES: &str = "\
    ffffffff700000001000000000000a000c000600050008000a000000000104000c0000000800080000000400\
    08000000040000000100000014000000100014000800060007000c0000001000100000000000010310000000\
    1800000004000000000000000100000061000600080006000600000000000200ffffffff9800000014000000\
    000000000c0018000600050008000c000c000000000304001c0000003000000000000000000000000c001c00\
    1000040008000c000c000000480000001c000000140000004000000000000000000000000400040004000000\
    020000000000000000000000000000000000000000000000000000002b000000000000000000000001000000\
    40000000000000000000000000000000000200000000000004224d18604082140000001100010021f83f0700\
    0f0800ffdc50000000f83f000000000000000000ffffffff00000000";

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn a_compression_that_is_not_read_is_named() {
    let check = |format, bytes: &[u8], name: &str| {
        let fault = read(&reading(format), bytes, |_| {}).unwrap_err();
        let message = format!("the file is compressed by {name}, which is not read");
        assert_eq!(fault.message, message);
        assert!(fault.hint.contains("uncompressed"), "{}", fault.hint);
    };
    check(Format::Parquet, &unhex(BROTLI), "brotli");
    check(Format::Parquet, &unhex(LZ4), "lz4");
    check(Format::Arrow, &unhex(FRAMES), "lz4");
}

proptest! {
    #[test]
    fn r13_no_damage_panics_a_reader(
        at: prop::sample::Index, byte: u8, cut: prop::sample::Index, which in 0usize..3,
    ) {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("x", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(4.0)]))),
            ("t", Arc::new(StringArray::from(vec!["a", "bc", "a"]))),
        ];
        let (format, mut bytes) = all(&[batch(columns)])[which].clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&reading(format), &bytes, |_| {});
        let _ = read(&reading(format), &bytes[..cut.index(bytes.len())], |_| {});
    }
}

/// So many rows of the same text of a MiB, which the file has once, in two columns.
fn repeated(rows: usize) -> RecordBatch {
    let mut texts = StringDictionaryBuilder::<Int8Type>::new();
    let text = "x".repeat(1 << 20);
    (0..rows).for_each(|_| texts.append_value(&text));
    let array: ArrayRef = Arc::new(texts.finish());
    batch(vec![("a", Arc::clone(&array)), ("b", array)])
}

#[test]
fn r13_a_text_that_a_file_has_once_is_no_more_often_in_memory_than_a_table_may_have_it() {
    for (format, bytes) in all(&[repeated(40)]) {
        let reading = reading(format);
        let read_it = || read(&reading, &bytes, |_| ());
        let (table, _) = read_it().unwrap();
        assert_eq!(
            (table.rows(), table.column("b").unwrap().texts()[39].as_ref().unwrap().len()),
            (40, 1 << 20)
        );
        // Nothing was taken yet when the job has no room for all of it.
        let held = Bound::new(64 << 20).hold(0, read_it);
        assert_eq!(held.unwrap_err().cause, Cause::Memory, "{format:?}");
    }
    for (format, bytes) in all(&[repeated(600)]) {
        let fault = read(&reading(format), &bytes, |_| ()).unwrap_err();
        assert!(fault.message.contains("the table has 1258291200 bytes"), "{format:?}: {fault:?}");
    }
}

#[test]
fn what_is_no_text_in_a_column_of_json_is_refused() {
    let schema = "message m { optional binary j (JSON); }";
    let write = |cell: &'static [u8]| {
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().build());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let cells = [ByteArray::from(cell)];
        column.typed::<ByteArrayType>().write_batch(&cells, Some(&[1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    };
    let (table, _) = read(&reading(Format::Parquet), &write(b"{}"), |_| ()).unwrap();
    assert_eq!(table.column("j").unwrap().texts(), [Some("{}".to_owned())]);
    let fault = read(&reading(Format::Parquet), &write(b"\xff\xfe"), |_| ()).unwrap_err();
    assert!(fault.message.contains("UTF-8"), "{fault:?}");
}

#[test]
fn columns_that_share_a_buffer_are_counted_by_their_cells() {
    let names: Vec<String> = (0..2_000).map(|at| format!("c{at}")).collect();
    let column: ArrayRef = Arc::new(Int64Array::from_iter(0..40));
    let wide = batch(names.iter().map(|name| (name.as_str(), Arc::clone(&column))).collect());
    let (table, _) = read(&reading(Format::Arrow), &file(&[wide]), |_| {}).unwrap();
    assert_eq!((table.rows(), table.columns().len()), (40, 2_000));
}
