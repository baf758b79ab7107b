//! Laws of surveys: how bytes are fed decides nothing, a chunk reads as what was surveyed, and bad
//! rows are what their policy says. Never opens a file.

use super::super::{ColumnKind, Table, read_chunks};
use super::*;
use crate::compute::Cause;
use crate::domain::job::{Declared, Dialect, Format, Ingest, OnBadRow};
use proptest::prelude::*;

fn dialect(change: impl Fn(&mut Dialect)) -> Reading {
    let mut dialect = Dialect::RFC_4180;
    change(&mut dialect);
    Reading { format: Format::Csv(dialect), ..Reading::csv() }
}

fn json() -> Reading {
    Reading { format: Format::Json, nulls: Vec::new(), ..Reading::csv() }
}

fn text() -> Reading {
    Reading { format: Format::Text, ..json() }
}

/// Surveys files that are fed in pieces of so many bytes, with chunks of this target.
fn fed(
    reading: &Reading,
    files: &[&[u8]],
    piece: usize,
    target: Option<ChunkTarget>,
) -> Result<(Survey, Vec<Cut>), Fault> {
    fed_by(1, reading, files, piece, target)
}

/// The same with so many threads.
fn fed_by(
    threads: usize,
    reading: &Reading,
    files: &[&[u8]],
    piece: usize,
    target: Option<ChunkTarget>,
) -> Result<(Survey, Vec<Cut>), Fault> {
    let mut surveyor = Surveyor::new(reading, target).with_threads(threads);
    // So small that pieces end anywhere in rows.
    if let Form::Lines(lines) = &mut surveyor.form {
        lines.block = piece.min(1 << 18);
    }
    let mut cuts = Vec::new();
    for (number, file) in (1..).zip(files) {
        surveyor.begin(&format!("file{number}"))?;
        for piece in file.chunks(piece) {
            cuts.extend(surveyor.feed(piece)?);
        }
        cuts.extend(surveyor.end()?);
    }
    Ok((surveyor.finish()?, cuts))
}

/// The spec that reads all that was surveyed.
fn spec(reading: &Reading, (survey, cuts): &(Survey, Vec<Cut>)) -> Ingest {
    let chunks = cuts.iter().flat_map(|cut| cut.chunks.clone()).collect();
    Ingest { columns: survey.columns.clone(), chunks, ..Ingest::unpinned(reading.clone()) }
}

/// The bytes of each artifact of a spec, once for each run of chunks in it.
fn artifacts(cuts: &[Cut]) -> Vec<&[u8]> {
    let runs = cuts.chunk_by(|a, b| a.bytes == b.bytes);
    runs.map(|run| run[0].bytes.as_slice()).collect()
}

/// The cells of a table by columns, with their kinds: one line for each.
fn shown(table: &Table) -> Vec<String> {
    let line = |column: &Column| {
        let cells = table.column(&column.name).unwrap().texts();
        let cells: Vec<_> = cells.into_iter().map(|c| c.unwrap_or("NULL".into())).collect();
        format!("{} {:?} {}", column.name, column.kind, cells.join("|"))
    };
    table.schema().iter().map(line).collect()
}

/// Reads a source whole and in chunks of one row, and shows its columns.
#[track_caller]
fn check(reading: &Reading, source: &[u8], want: &[&str]) -> BadRows {
    let whole = fed(reading, &[source], usize::MAX, None).unwrap();
    let (table, rows) = read_chunks(&spec(reading, &whole), &artifacts(&whole.1)).unwrap();
    assert_eq!(shown(&table), want);
    assert_eq!(whole.0.rows, rows);
    assert_eq!(whole.0.columns, table.schema());
    for piece in [1, 3, 1000] {
        let cut = fed(reading, &[source], piece, Some(ChunkTarget::Rows(1))).unwrap();
        assert_eq!(cut.0, whole.0);
        let (again, rows) = read_chunks(&spec(reading, &cut), &artifacts(&cut.1)).unwrap();
        assert_eq!(again, table);
        assert_eq!(rows, whole.0.rows);
    }
    rows
}

#[track_caller]
fn refuse(reading: &Reading, source: &[u8], message: &str) {
    let fault = fed(reading, &[source], usize::MAX, None).unwrap_err();
    assert_eq!(fault.message, message);
    assert!(!fault.hint.is_empty());
    assert_eq!(fed(reading, &[source], 1, None).unwrap_err(), fault);
}

#[test]
fn a_dialect_is_read_as_it_says() {
    let semicolons = dialect(|d| d.delimiter = b';');
    check(&semicolons, b"a;b\n1;2,5\n", &["a Integer 1", "b Text 2,5"]);
    let tabs = dialect(|d| (d.delimiter, d.trim) = (b'\t', true));
    check(&tabs, b"a\tb\n 1 \t\n", &["a Integer 1", "b Text NULL"]);
    let single = dialect(|d| d.quote = Some(b'\''));
    check(&single, b"a,b\n'1,2','it''s'\n", &["a Text 1,2", "b Text it's"]);
    let plain = dialect(|d| d.quote = None);
    check(&plain, b"a,b\n\"x,y\"\n", &["a Text \"x", "b Text y\""]);
    let escaped = dialect(|d| d.escape = Some(b'\\'));
    check(&escaped, b"a,b\n\"say \\\"hi\\\"\",\"\\\\\"\n", &["a Text say \"hi\"", "b Text \\"]);
    let commented = dialect(|d| d.comment = Some(b'#'));
    check(&commented, b"# no header\na\n#\n1\n# 2\n3#\n", &["a Text 1|3#"]);
    let trimmed = dialect(|d| d.trim = true);
    check(&trimmed, b"a , b\n 1 , \"x, y\" \n\t2,\n", &["a Integer 1|2", "b Text x, y|NULL"]);
    let skipped = dialect(|d| d.skip_lines = 2);
    check(&skipped, b"exported by,\r\n\"x\r\na\r\n1\r\n", &["a Integer 1"]);
    let bare = dialect(|d| d.header = false);
    check(&bare, b"1,x\n2,y\n", &["column1 Integer 1|2", "column2 Text x|y"]);
    let quoted_newlines = Reading::csv();
    check(&quoted_newlines, b"a,b\r\n\"1\r\n2\",\"\n\"\r\n", &["a Text 1\r\n2", "b Text \n"]);
}

#[test]
fn columns_are_called_and_typed_as_declared() {
    let declared = |pairs: &[(&str, Option<ColumnKind>)]| -> Vec<Declared> {
        let each = pairs.iter();
        each.map(|(name, kind)| Declared { name: (*name).to_owned(), kind: *kind }).collect()
    };
    let zip = Reading { columns: declared(&[("zip", Some(ColumnKind::Text))]), ..Reading::csv() };
    check(&zip, b"zip,n\n01234,1\n", &["zip Text 01234", "n Integer 1"]);
    let bare = dialect(|d| d.header = false);
    let named = Reading { columns: declared(&[("a", None), ("b", None)]), ..bare.clone() };
    check(&named, b"1,x\n", &["a Integer 1", "b Text x"]);
    refuse(&named, b"1,x,y\n", "file1: line 1 has 3 cells, but `columns` names 2");
    let numbered = declared(&[("column2", Some(ColumnKind::Real))]);
    let numbered = Reading { columns: numbered, ..bare };
    check(&numbered, b"1,2\n", &["column1 Integer 1", "column2 Real 2"]);
    refuse(&zip, b"n\n1\n", "file1: the table has no column \"zip\"");
    let age =
        Reading { columns: declared(&[("age", Some(ColumnKind::Integer))]), ..Reading::csv() };
    refuse(&age, b"age\n1\nold\n", "file1: line 3 has \"old\" in column \"age\", not an integer");
}

#[test]
fn only_what_is_said_to_be_null_is_null() {
    let nulls = Reading { nulls: vec!["NA".into(), "-999".into()], ..Reading::csv() };
    check(&nulls, b"a,b\n1,x\nNA,\n-999,\"NA\"\n", &["a Integer 1|NULL|NULL", "b Text x||NULL"]);
    let digits = Reading { nulls: vec!["999".into()], ..Reading::csv() };
    check(&digits, b"a\n999\ntrue\n", &["a Truth NULL|true"]);
    check(
        &Reading { nulls: Vec::new(), ..Reading::csv() },
        b"a,b\n1,\n",
        &["a Integer 1", "b Text "],
    );
}

#[test]
fn bad_rows_fail_or_are_skipped_or_become_null() {
    let source = b"a,b\n1,x\n2\n3,y,z\n\"4\"4,v\n5,\xff\n6,w\n";
    let policy = |on_bad_row| {
        let columns = vec![Declared { name: "a".into(), kind: Some(ColumnKind::Integer) }];
        Reading { on_bad_row, columns, ..Reading::csv() }
    };
    refuse(&policy(OnBadRow::Fail), source, "file1: line 3 has 1 cells, but there are 2 columns");
    let rows = check(&policy(OnBadRow::Skip), source, &["a Integer 1|6", "b Text x|w"]);
    assert_eq!((rows.rows, rows.bad), (6, 4));
    let lines: Vec<_> = rows.offenders.iter().map(|offender| offender.line).collect();
    assert_eq!(lines, [3, 4, 5, 6]);
    assert_eq!(
        rows.report().lines().next().unwrap().split(r#""offenders":["#).nth(1).unwrap(),
        concat!(
            r#"{"line":3,"what":"has 1 cells, but there are 2 columns"},"#,
            r#"{"line":4,"what":"has 3 cells, but there are 2 columns"},"#,
            r#"{"line":5,"what":"goes on behind a closing quote"},"#,
            r#"{"line":6,"what":"is not UTF-8 in column \"b\""}]}"#
        )
    );
    let want = ["a Integer 1|2|3|NULL|5|6", "b Text x|NULL|y|v|NULL|w"];
    let rows = check(&policy(OnBadRow::Null), source, &want);
    assert_eq!((rows.rows, rows.bad), (6, 4));
}

#[test]
fn rows_that_cannot_be_read_never_make_a_chunk_of_their_own() {
    let skip = Reading { on_bad_row: OnBadRow::Skip, ..Reading::csv() };
    let source = b"a,b\n1\n2\n3,x\n4\n5\n6,y\n7\n8\n";
    let (survey, cuts) = fed(&skip, &[source], 1, Some(ChunkTarget::Rows(1))).unwrap();
    let rows: Vec<_> = cuts.iter().map(|cut| cut.chunks[0].rows).collect();
    assert_eq!((survey.rows.rows, survey.rows.bad, rows), (8, 6, vec![3, 5]));
    refuse(&skip, b"a,b\n1\n2\n", "file1: none of the rows can be read");
}

#[test]
fn only_the_first_offenders_are_named() {
    let skip = Reading { on_bad_row: OnBadRow::Skip, ..Reading::csv() };
    let source = format!("a,b\n1,2\n{}", "x\n".repeat(100));
    let (survey, _) = fed(&skip, &[source.as_bytes()], 7, None).unwrap();
    assert_eq!((survey.rows.bad, survey.rows.offenders.len()), (100, 10));
}

#[test]
fn files_of_a_source_have_the_same_columns_and_their_own_lines() {
    let target = Some(ChunkTarget::Rows(2));
    let files: [&[u8]; 3] = [b"\xef\xbb\xbfa,b\n1,x\n2,y\n3,z\n", b"a,b\n\n4.5,w\n", b"a,b\n"];
    let (survey, cuts) = fed(&Reading::csv(), &files, 5, target).unwrap();
    assert_eq!(survey.columns[0].kind, ColumnKind::Real);
    let chunks: Vec<_> = cuts.iter().flat_map(|cut| &cut.chunks).collect();
    let places: Vec<_> = chunks.iter().map(|chunk| (chunk.first_line, chunk.rows)).collect();
    assert_eq!(places, [(2, 2), (4, 1), (2, 1)]);
    let whole = (survey, cuts);
    let (table, _) = read_chunks(&spec(&Reading::csv(), &whole), &artifacts(&whole.1)).unwrap();
    assert_eq!(shown(&table), ["a Real 1|2|3|4.5", "b Text x|y|z|w"]);
    let fault = fed(&Reading::csv(), &[b"a,b\n1,2\n", b"a,c\n1,2\n"], 99, None).unwrap_err();
    assert_eq!(
        fault.message,
        "file2: the file has other columns: column \"c\" stands where the first file has \"b\""
    );
    let fault = fed(&Reading::csv(), &[b"a,b\n1,2\n", b"a,b\n1,2\n3\n"], 99, None).unwrap_err();
    assert_eq!(fault.message, "file2: line 3 has 1 cells, but there are 2 columns");
}

#[test]
fn json_lines_are_read_by_key_and_numbers_keep_their_text() {
    check(
        &json(),
        concat!(
            "{\"a\": 1, \"b\": \"x\"}\r\n\n",
            " {\"b\":\"\\u00e9\\n\\ud83d\\ude00\",\"c\":true} \n{\"a\":null}"
        )
        .as_bytes(),
        &["a Integer 1|NULL|NULL", "b Text x|\u{e9}\n\u{1f600}|NULL", "c Truth NULL|true|NULL"],
    );
    check(&json(), b"{\"a\":1}\n{\"a\":1.50}\n{\"a\":-2e3}\n", &["a Real 1|1.5|-2000"]);
    check(&json(), b"{\"a\":1.50}\n{\"a\":\"x\"}\n", &["a Text 1.50|x"]);
    check(&json(), b"{\"a\":\"1\"}\n", &["a Text 1"]);
    check(&json(), b"{\"a\":9223372036854775808}\n", &["a Real 9223372036854776000"]);
    check(&json(), b"{\"a\":\"\"}\n", &["a Text "]);
    let skip = Reading { on_bad_row: OnBadRow::Skip, ..json() };
    let source = concat!(
        "{\"a\":1}\n{\"a\":2,\"z\":0,}\n[1]\n{\"a\":[1,\"]\"]}\n",
        "{\"a\":3,\"a\":4}\nx\n{\"a\":01}\n"
    )
    .as_bytes();
    let rows = check(&skip, source, &["a Integer 1"]);
    let what: Vec<_> = rows.offenders.iter().map(|offender| offender.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "has \"}\" where a string should be",
            "is not a JSON object",
            "has a list under \"a\"",
            "has a key twice",
            "is not a JSON object",
            "has \"01}\" where a value should be",
        ]
    );
    refuse(
        &json(),
        b"{\"a\":\"\\ud83d\"}\n",
        "file1: line 1 has half of a surrogate pair in a string",
    );
    let hint = |source: &[u8]| fed(&json(), &[source], usize::MAX, None).unwrap_err().hint;
    assert!(hint(b"{\"a\":{\"b\":1}}\n").contains("`columns: [ … ]`"));
    assert!(hint(b"[{\"a\":1}]\n").contains("jq -c '.[]'"));
    let columns = vec![Declared { name: "b".into(), kind: None }];
    check(&Reading { columns, ..json() }, b"{\"a\":[1],\"b\":2}\n", &["b Integer 2"]);
}

#[test]
fn stretches_that_begin_in_a_quoted_cell_are_looked_at_again() {
    // Every line but the first looks like a row of two cells, and most stand in quotes.
    let quoted = format!("\"{}\",x\n", "1,2\n".repeat(50));
    let source = format!("a,b\n{}7,y\n", quoted.repeat(20));
    let alone = fed(&Reading::csv(), &[source.as_bytes()], 16, None).unwrap();
    assert_eq!(alone.0.rows.rows, 21);
    for threads in 2..5 {
        let together = fed_by(threads, &Reading::csv(), &[source.as_bytes()], 16, None).unwrap();
        assert_eq!(together, alone);
    }
}

#[test]
fn text_has_a_row_for_each_line() {
    check(&text(), b"one\r\n\n 2\nlast", &["text Text one|| 2|last"]);
    refuse(&text(), b"", "the source has no rows");
}

#[test]
fn only_kept_columns_and_the_first_rows_are_read() {
    let whole = fed(&Reading::csv(), &[b"a,b,c\n1,2,3\n4,5,6\n"], 9, None).unwrap();
    let mut spec = spec(&Reading::csv(), &whole);
    spec.keep = Some(vec!["c".into(), "a".into()]);
    spec.limit = Some(1);
    let (table, rows) = read_chunks(&spec, &artifacts(&whole.1)).unwrap();
    assert_eq!(shown(&table), ["c Integer 3", "a Integer 1"]);
    assert_eq!(rows.rows, 1);
}

#[test]
fn an_endless_row_is_refused() {
    let limit = crate::base::limits::ROW_BYTES_MAX;
    let source = [b"a\n\"".to_vec(), vec![b'x'; limit + 1]].concat();
    refuse_long(&source, &format!("file1: the row on line 2 has more than {limit} bytes"));
    refuse_long(&source[2..], &format!("file1: the first line has more than {limit} bytes"));
}

#[track_caller]
fn refuse_long(source: &[u8], message: &str) {
    let mut surveyor = Surveyor::new(&Reading::csv(), None);
    surveyor.begin("file1").unwrap();
    assert_eq!(surveyor.feed(source).unwrap_err().message, message);
}

#[test]
fn a_source_of_too_many_chunks_is_refused() {
    let source = format!("a\n{}", "1\n".repeat(CHUNKS_PER_SOURCE_MAX + 2));
    let fault = fed(&Reading::csv(), &[source.as_bytes()], 99, Some(ChunkTarget::Rows(1)));
    assert!(fault.unwrap_err().message.contains("more than 2048 chunks"));
}

#[test]
fn what_is_appended_to_a_file_leaves_the_chunks_before_it_as_they_are() {
    let rows = |count: usize| {
        let rows = (0..count).map(|n| format!("{n},\"x\n{n}\"\n"));
        format!("a,b\n{}", rows.collect::<String>())
    };
    let chunks = |count| {
        let target = Some(ChunkTarget::Bytes(100));
        let (_, cuts) = fed(&Reading::csv(), &[rows(count).as_bytes()], 64, target).unwrap();
        cuts.into_iter().flat_map(|cut| cut.chunks).collect::<Vec<_>>()
    };
    let (before, after) = (chunks(100), chunks(150));
    assert!(before.len() > 5 && after.len() > before.len());
    assert_eq!(before[..before.len() - 1], after[..before.len() - 1]);
}

fn readings() -> impl Strategy<Value = Reading> {
    let bad = prop_oneof![Just(OnBadRow::Fail), Just(OnBadRow::Skip), Just(OnBadRow::Null)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0u32..3);
    (0usize..3, bad, flags).prop_map(
        |(format, on_bad_row, (header, trim, escape, comment, skip_lines))| {
            let dialect = Dialect {
                header,
                trim,
                skip_lines,
                escape: escape.then_some(b'\\'),
                comment: comment.then_some(b'#'),
                ..Dialect::RFC_4180
            };
            let format = [Format::Csv(dialect), Format::Json, Format::Text][format];
            Reading { format, on_bad_row, ..Reading::csv() }
        },
    )
}

proptest! {
    #[test]
    fn how_bytes_are_fed_decides_nothing(
        reading in readings(),
        source in "([,\"\\\\#\r\n a1\u{feff}\u{e9}]|1,|a,b\n|\\{\"a\": 1\\}\n){0,40}",
        piece in 1usize..12,
        rows in 1u64..4,
    ) {
        let target = Some(ChunkTarget::Rows(rows));
        let whole = fed(&reading, &[source.as_bytes()], usize::MAX, target);
        prop_assert_eq!(&fed(&reading, &[source.as_bytes()], piece, target), &whole);
        if let Ok(whole) = whole {
            let total: u64 = whole.1.iter().flat_map(|cut| &cut.chunks).map(|c| c.rows).sum();
            prop_assert_eq!(total, whole.0.rows.rows);
            let (table, rows) = read_chunks(&spec(&reading, &whole), &artifacts(&whole.1)).unwrap();
            prop_assert_eq!(&whole.0.columns, &table.schema());
            prop_assert_eq!(&whole.0.rows, &rows);
            // Each chunk by itself gives the same cells.
            let each = whole.1.iter().map(|cut| {
                let spec = Ingest { chunks: cut.chunks.clone(), ..spec(&reading, &whole) };
                read_chunks(&spec, &[&cut.bytes]).unwrap().0
            });
            prop_assert_eq!(Table::concat(&each.collect::<Vec<_>>()).unwrap(), table);
        }
    }

    #[test]
    fn how_many_threads_look_decides_nothing(
        reading in readings(),
        source in "([,\"\\\\#\r\n a1\u{e9}]|1,|a,b\n|1,2\n|\"\n\",|7\"7\n){0,120}",
        wild in prop::option::of(any::<(prop::sample::Index, u8)>()),
        (piece, threads) in (1usize..12, 2usize..4),
        target in prop_oneof![
            (1u64..90).prop_map(ChunkTarget::Bytes),
            (1u64..60).prop_map(ChunkTarget::Rows),
            Just(ChunkTarget::Bytes(CHUNK_BYTES_DEFAULT)),
        ],
    ) {
        let mut source = source.into_bytes();
        if let Some((at, byte)) = wild && !source.is_empty() {
            let at = at.index(source.len());
            source[at] = byte;
        }
        let alone = fed(&reading, &[&source, &source], piece, Some(target));
        let together = fed_by(threads, &reading, &[&source, &source], piece, Some(target));
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn r13_no_bytes_panic_a_survey(
        reading in readings(),
        source: Vec<u8>,
        (piece, threads) in (1usize..9, 1usize..3),
    ) {
        let _ = fed_by(threads, &reading, &[&source], piece, Some(ChunkTarget::Rows(1)));
    }

    #[test]
    fn cells_that_are_written_in_quotes_are_read_as_they_were(
        rows in prop::collection::vec(("[ -~\r\n\u{e9}\"]{0,8}", "[,\"\n#;]{0,4}x"), 1..6),
        semicolon: bool,
    ) {
        let mark = if semicolon { b';' } else { b',' };
        let reading = Reading { nulls: Vec::new(), ..dialect(|d| d.delimiter = mark) };
        let quote = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let mark = char::from(mark);
        let lines = rows.iter().map(|(a, b)| format!("{}{mark}{}\n", quote(a), quote(b)));
        let source = format!("a{mark}b\n\"text\"{mark}x\n{}", lines.collect::<String>());
        let whole = fed(&reading, &[source.as_bytes()], 5, Some(ChunkTarget::Rows(2))).unwrap();
        let (table, _) = read_chunks(&spec(&reading, &whole), &artifacts(&whole.1)).unwrap();
        let read = |name: &str| -> Vec<String> {
            table.column(name).unwrap().texts().into_iter().flatten().skip(1).collect()
        };
        let (a, b): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
        prop_assert_eq!((read("a"), read("b")), (a, b));
    }
}

#[test]
fn a_cell_that_is_not_of_its_kind_is_told_from_other_faults() {
    let columns = vec![Declared { name: "a".into(), kind: Some(ColumnKind::Integer) }];
    let cause = |format: Format, text: &str| {
        let reading = Reading { format, columns: columns.clone(), ..Reading::csv() };
        survey(&reading, None, text.as_bytes()).unwrap_err().cause
    };
    let csv = Reading::csv().format;
    assert_eq!(cause(csv, "a\n1\nold\n"), Cause::Cell);
    assert_eq!(cause(Format::Json, "{\"a\": 1}\n{\"a\": \"old\"}\n"), Cause::Cell);
    assert_eq!(cause(csv, "a\n1\n2,3\n"), Cause::Job);
    assert_eq!(cause(Format::Json, "{\"a\": [1]}\n"), Cause::Job);
}
