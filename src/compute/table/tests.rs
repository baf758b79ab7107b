//! Laws of tables: what is read is what was written, and what is not a table is refused by line.
//! Never tests a format's crate: only what follows from it for the bytes of a table.

use super::*;
use crate::domain::job::Reading;
use proptest::prelude::*;

const IRIS: &[u8] = include_bytes!("../../../manifests/data/iris.csv");

/// Reads `csv`, and shows types and cells: one line per column.
#[track_caller]
fn check(csv: &[u8], want: &[&str]) {
    let table = Table::from_csv(csv).unwrap();
    let got: Vec<String> = table
        .columns()
        .iter()
        .zip(table.cells())
        .map(|(name, cells)| {
            let shown: Vec<_> =
                cells.texts().into_iter().map(|text| text.unwrap_or("NULL".into())).collect();
            format!("{name} {:?} {}", cells.kind(), shown.join("|"))
        })
        .collect();
    assert_eq!(got, want);
    assert_eq!(survey(&Reading::csv(), None, csv).unwrap().0.columns, table.schema());
    let bytes = table.to_bytes();
    assert_eq!(bytes, Table::from_csv(csv).unwrap().to_bytes());
    assert_eq!(Table::from_bytes(&bytes).unwrap(), table);
}

#[track_caller]
fn refuse(csv: &[u8], message: &str) {
    let fault = Table::from_csv(csv).unwrap_err();
    assert_eq!(fault.message, message);
    assert!(!fault.hint.is_empty(), "{message} has no hint");
    assert_eq!(survey(&Reading::csv(), None, csv).unwrap_err(), fault);
}

#[test]
fn iris_has_150_rows_4_reals_and_a_species() {
    let table = Table::from_csv(IRIS).unwrap();
    assert_eq!(table.rows(), 150);
    let kinds: Vec<_> = table.cells().map(Cells::kind).collect();
    assert_eq!(
        kinds,
        [ColumnKind::Real, ColumnKind::Real, ColumnKind::Real, ColumnKind::Real, ColumnKind::Text]
    );
    assert_eq!(table.columns()[4], "species");
    assert_eq!(table.column("species").unwrap().texts()[149].as_deref(), Some("virginica"));
}

#[test]
fn the_bytes_of_iris_are_golden() {
    let digest = crate::base::canon::Digest::of(&Table::from_csv(IRIS).unwrap().to_bytes());
    assert_eq!(digest.short(), "3ef4054b1dfb");
}

#[test]
fn types_follow_from_all_rows() {
    check(b"a\n1\n-2\n+3\n007\n", &["a Integer 1|-2|3|7"]);
    check(b"a\n1\n2\n3.5\n", &["a Real 1|2|3.5"]);
    check(b"a\n1\n1e-3\n.5\n5.\n", &["a Real 1|0.001|0.5|5"]);
    check(b"a\n9223372036854775807\n", &["a Integer 9223372036854775807"]);
    check(b"a\n9223372036854775808\n", &["a Real 9223372036854776000"]);
    check(b"a\n-0.0\n0.0\n", &["a Real -0|0"]);
    check(b"a\ntrue\nFALSE\n", &["a Truth true|false"]);
    check(b"a\ntrue\n1\n", &["a Text true|1"]);
    check(b"a\n1\nNaN\ninf\n", &["a Text 1|NaN|inf"]);
    check(b"a\n1\n1e999\n", &["a Text 1|1e999"]);
    check(b"a\n1\n 2\n", &["a Text 1| 2"]);
    check(b"a\n1\n0x10\n1_000\n", &["a Text 1|0x10|1_000"]);
    check(b"a,b\n,x\n,\n", &["a Text NULL|NULL", "b Text x|NULL"]);
    check(b"a,b\n1,true\n,\n", &["a Integer 1|NULL", "b Truth true|NULL"]);
}

#[test]
fn quotes_and_line_ends_are_those_of_rfc_4180() {
    check(b"a,b\r\n1,x\r\n2,y\r\n", &["a Integer 1|2", "b Text x|y"]);
    check(b"a,b\n1,x\n2,y", &["a Integer 1|2", "b Text x|y"]);
    check(b"a,b\r1,x\r2,y\r", &["a Integer 1|2", "b Text x|y"]);
    check(
        b"a,b\n\"1\",\"x, y\"\n2,\"say \"\"hi\"\"\"\n",
        &["a Integer 1|2", "b Text x, y|say \"hi\""],
    );
    check(b"a,\"b\nc\"\n1,\"two\r\nlines\"\n", &["a Integer 1", "b\nc Text two\r\nlines"]);
    check(b"a\n\"\"\nx\n", &["a Text NULL|x"]);
    check(b"\n\na\n\nx\n\n\ny\n\n", &["a Text x|y"]);
    check("\u{feff}a,b\n1,é\n".as_bytes(), &["a Integer 1", "b Text é"]);
    check("\u{feff}\"a,b\",c\n1,2\n".as_bytes(), &["a,b Integer 1", "c Integer 2"]);
    check(b"a\n5\" pipe\n", &["a Text 5\" pipe"]);
    check(b"a\nx\0y\n", &["a Text x\0y"]);
}

#[test]
fn what_is_not_a_table_is_refused_with_its_line() {
    refuse(b"", "the source is empty");
    refuse(b"\n\r\n", "the source is empty");
    refuse("\u{feff}".as_bytes(), "the source is empty");
    refuse(b"a,b\n", "the source has no rows");
    refuse(b"a,b", "the source has no rows");
    refuse(b"a,b\n1,2\n3\n", "line 3 has 1 cells, but there are 2 columns");
    refuse(b"a,b\n1,2,3\n", "line 2 has 3 cells, but there are 2 columns");
    refuse(b"a,b\n\"1\n2\",3\n\n4\n", "line 5 has 1 cells, but there are 2 columns");
    refuse(b"a,b\r\n1,2\r\n3\r\n", "line 3 has 1 cells, but there are 2 columns");
    refuse(b"a,b\n1,2\n3", "line 3 has 1 cells, but there are 2 columns");
    refuse(b"a,b\n1,\"2\n3,4\n", "the quote that opens on line 2 is never closed");
    refuse(b"a,b\n1,\"2\" \n", "line 2 goes on behind a closing quote");
    refuse(b"a,b\n1,\xff\n", "line 2 is not UTF-8 in column \"b\"");
    refuse(b"a,,b\n1,2,3\n", "column 2 has no name");
    refuse(b"a,b,\n1,2,3\n", "column 3 has no name");
    refuse(b"a,b,a\n1,2,3\n", "columns 1 and 3 are both called \"a\"");
    let wide = vec!["x"; limits::COLUMNS_MAX + 1].join(",") + "\n1\n";
    refuse(wide.as_bytes(), "line 1 names more than 16384 columns");
    let long = "x".repeat(limits::TEXT_BYTES_MAX + 1) + "\n1\n";
    refuse(long.as_bytes(), "the name of column 1 has 1025 bytes");
}

#[test]
fn a_file_that_is_no_text_is_called_what_it_is() {
    let check = |bytes: &[u8], message: &str, hint: &str| {
        let fault = Table::from_csv(bytes).unwrap_err();
        assert_eq!(fault.message, message);
        assert!(fault.hint.contains(hint), "{}", fault.hint);
    };
    check(b"\x1f\x8b\x08\0\0\0\0\0", "the file is compressed by gzip", "gunzip");
    check(b"PK\x03\x04\x14\0\x06\0", "the file is a zip file, as workbooks of Excel are", "CSV");
    check(b"\xff\xfea\0\n\x001\0\n\0", "the file is UTF-16", "iconv -f utf-16");
    check(b"PAR1\x15\0\x15\0", "the file is Parquet", "format: parquet");
    // Names of columns may look like that.
    for csv in ["PAR1,BZh9\n1,2\n", "PK,ARROW1\n1,2\n"] {
        assert_eq!(Table::from_csv(csv.as_bytes()).unwrap().columns().len(), 2);
    }
}

#[test]
fn as_many_columns_as_the_bound_allows_are_read() {
    let header: Vec<_> = (0..limits::COLUMNS_MAX).map(|i| format!("c{i}")).collect();
    let row = vec!["1"; limits::COLUMNS_MAX].join(",");
    let csv = format!("{}\n{row}\n{row}\n", header.join(","));
    let table = Table::from_csv(csv.as_bytes()).unwrap();
    assert_eq!((table.rows(), table.columns().len()), (2, limits::COLUMNS_MAX));
}

#[test]
fn rows_are_taken_in_the_order_asked_for() {
    let table = Table::from_csv(b"a,b,c,d\n1,x,true,.5\n2,,false,\n,z,,1.5\n").unwrap();
    let want = Table::from_csv(b"a,b,c,d\n,z,,1.5\n1,x,true,.5\n,z,,1.5\n").unwrap();
    assert_eq!(table.take(&[2, 0, 2]), want);
    assert_eq!(table.take(&[0, 1, 2]).to_bytes(), table.to_bytes());
}

#[test]
fn advice_names_the_nearest_column_only_if_it_is_near() {
    let columns = ["species".to_owned(), "petal_length".to_owned()];
    assert_eq!(nearest("Specis", &columns), Some("species"));
    assert_eq!(nearest("petal length", &columns), Some("petal_length"));
    assert_eq!(nearest("price", &columns), None);
    assert_eq!(edits("kitten", "sitting"), 3);
    assert_eq!((edits("", "abc"), edits("abc", ""), edits("", "")), (3, 3, 0));
}

#[test]
fn no_name_makes_a_fault_longer_than_a_fault_may_be() {
    let long = |c: char| c.to_string().repeat(limits::TEXT_BYTES_MAX / c.len_utf8() - 2);
    for c in ['x', '\u{1f600}', '\u{10ffff}', '"'] {
        let names: Vec<_> =
            (0..9).map(|i| format!("{}{i}", long(c)).replace('"', "\"\"")).collect();
        let header = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
        let csv = format!("{header}\n{}\n", ["1"; 9].join(","));
        let fault = Table::from_csv(csv.as_bytes()).unwrap().column(&long(c)).unwrap_err();
        assert!(fault.message.len() <= limits::TEXT_BYTES_MAX, "{}", fault.message.len());
        assert!(fault.hint.len() <= limits::TEXT_BYTES_MAX, "{}", fault.hint.len());
    }
}

#[track_caller]
fn damaged(bytes: &[u8], error: DecodeError) {
    let fault = Table::from_bytes(bytes).unwrap_err();
    assert!(fault.message.ends_with(&error.to_string()), "{fault:?}");
}

#[test]
fn the_layout_is_the_documented_one() {
    let got = Table::from_csv(b"r,t\n-0.0,x\n2.5,\n").unwrap().to_bytes();
    let mut want =
        b"ohc/table/1\n\0\x02\0\0\0\x01\0\0\0r\x01\0\x01\0\0\0t\x03\x01\x02\0\0\0".to_vec();
    want.extend((-0.0f64).to_le_bytes());
    want.extend(2.5f64.to_le_bytes());
    want.extend(b"\x01\x01\0\0\0x\0");
    assert_eq!(got, want);
}

#[test]
fn bytes_have_one_form() {
    let good = Table::from_csv(b"a\n1\n2\n").unwrap().to_bytes();
    assert!(Table::from_bytes(&good).is_ok());
    let (head, cells) = good.split_at(good.len() - 20);
    assert_eq!(cells[..4], 2u32.to_le_bytes());
    damaged(&[&good[..], &[0]].concat(), DecodeError::Trailing);
    damaged(&good[..good.len() - 1], DecodeError::Truncated);
    damaged(&[head, &u32::MAX.to_le_bytes()].concat(), DecodeError::Truncated);
    damaged(&[head, &[0; 4]].concat(), DecodeError::OutOfRange);
    // Nulls claimed where there are none.
    let mut claimed = head.to_vec();
    *claimed.last_mut().unwrap() = 1;
    let two: Vec<u8> = [Some(1i64), Some(2)].into_iter().flat_map(|x| x.to_bytes()).collect();
    damaged(&[&claimed[..], &2u32.to_le_bytes(), &two].concat(), DecodeError::OutOfRange);
    // A real that is not a number.
    let mut real = Table::from_csv(b"a\n0.5\n").unwrap().to_bytes();
    let end = real.len() - 8;
    real[end..].copy_from_slice(&f64::NAN.to_le_bytes());
    damaged(&real, DecodeError::OutOfRange);
    // Two columns of one name.
    let mut twins = Table::from_csv(b"a,b\n1,1\n").unwrap().to_bytes();
    let place = twins.iter().rposition(|byte| *byte == b'b').unwrap();
    twins[place] = b'a';
    damaged(&twins, DecodeError::OutOfRange);
    assert_eq!(Table::from_bytes(b"\x89PNG").unwrap_err().message, "these bytes are not a table");
}

type Row = (bool, f64, i64, String, bool);

/// Any table: some columns of any type, some cells null.
fn tables() -> impl Strategy<Value = Table> {
    let finite = proptest::num::f64::NORMAL | proptest::num::f64::ZERO;
    let cell = (any::<bool>(), finite, any::<i64>(), any::<String>(), any::<bool>());
    let column = proptest::collection::vec(cell, 20);
    let kinds = proptest::collection::vec((0..4, column), 1..5);
    (kinds, 1usize..20, any::<bool>()).prop_map(|(columns, rows, nulls)| {
        let column = |(kind, cells): (i32, Vec<Row>)| {
            let cells = cells.into_iter().take(rows);
            let cells = cells.map(|(null, a, b, c, d)| (!(null && nulls)).then_some((a, b, c, d)));
            match kind {
                0 => Arc::new(Float64Array::from_iter(cells.map(|x| Some(x?.0)))) as ArrayRef,
                1 => Arc::new(Int64Array::from_iter(cells.map(|x| Some(x?.1)))),
                2 => Arc::new(StringArray::from_iter(cells.map(|x| Some(x?.2)))),
                _ => Arc::new(BooleanArray::from_iter(cells.map(|x| Some(x?.3)))),
            }
        };
        let named = columns.into_iter().enumerate().map(|(i, x)| (i.to_string(), column(x)));
        Table::new(named).unwrap()
    })
}

proptest! {
    #[test]
    fn decode_inverts_encode(table in tables()) {
        let bytes = table.to_bytes();
        let again = Table::from_bytes(&bytes).unwrap();
        prop_assert_eq!(again.to_bytes(), bytes);
        prop_assert_eq!(again, table);
    }

    #[test]
    fn what_decodes_has_no_other_bytes(table in tables(), at: proptest::sample::Index, byte: u8) {
        let mut bytes = table.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = Table::from_bytes(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }

    #[test]
    fn r13_no_bytes_panic_the_decoder(bytes: Vec<u8>) {
        let _ = Table::from_bytes(&bytes);
        let _ = Table::from_bytes(&[MAGIC, &bytes].concat());
    }

    #[test]
    fn r13_no_random_bytes_panic_the_reader(bytes: Vec<u8>) {
        let _ = Table::from_csv(&bytes);
    }

    #[test]
    fn csv_reads_what_csv_quoting_wrote(
        cells in proptest::collection::vec("[,\"\r\na ]{0,6}b", 1..8),
    ) {
        let lines = cells.iter().map(|cell| format!("\"{}\"\r\n", cell.replace('"', "\"\"")));
        let csv = format!("name\r\n{}", lines.collect::<String>());
        let texts = Table::from_csv(csv.as_bytes()).unwrap().column("name").unwrap().texts();
        prop_assert_eq!(texts.into_iter().flatten().collect::<Vec<_>>(), cells);
    }
}

#[test]
fn texts_that_are_kept_beside_a_table_are_counted() {
    let mut kept = TextsKept(TEXTS_BYTES_MAX - 7);
    kept.add("1e300").unwrap();
    kept.add("").unwrap();
    let fault = kept.add("1e3").unwrap_err();
    assert!(fault.message.contains("texts of 4294967297 bytes"), "{fault:?}");
}
