//! Images in files against the pixels that they were written of. Never on files from elsewhere.

use super::*;
use crate::compute::table::ingest::read_chunks;
use crate::compute::table::survey::Surveyor;
use ::png::{BitDepth, ColorType, Encoder};

const GREY: Look = Look { label: Label::Folder, channels: None };

fn reading(look: Look, on_bad_row: OnBadRow) -> Reading {
    Reading { format: Format::Png(look), nulls: Vec::new(), on_bad_row, ..Reading::csv() }
}

/// A file of pixels, and of a palette where there is one.
fn file(
    (width, height): (u32, u32),
    (color, depth): (ColorType, BitDepth),
    palette: Option<&[u8]>,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette.to_vec());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

fn grey(side: (u32, u32), data: &[u8]) -> Vec<u8> {
    file(side, (ColorType::Grayscale, BitDepth::Eight), None, data)
}

type Files<'a> = Vec<(&'a str, Vec<u8>)>;

fn surveyed(
    reading: &Reading,
    target: Option<ChunkTarget>,
    files: &Files<'_>,
) -> Result<(Survey, Vec<Cut>), Fault> {
    let (mut surveyor, mut cuts) = (Surveyor::new(reading, target), Vec::new());
    for (name, bytes) in files {
        surveyor.begin(name)?;
        for piece in bytes.chunks(7) {
            cuts.extend(surveyor.feed(piece)?);
        }
        cuts.extend(surveyor.end()?);
    }
    cuts.extend(surveyor.last()?);
    Ok((surveyor.finish()?, cuts))
}

fn spec(reading: &Reading, survey: &Survey, cuts: &[Cut]) -> Ingest {
    let chunks = cuts.iter().flat_map(|cut| cut.chunks.clone()).collect();
    Ingest { columns: survey.columns.clone(), chunks, ..Ingest::unpinned(reading.clone()) }
}

fn read(spec: &Ingest, cuts: &[Cut]) -> Result<(Table, BadRows), Fault> {
    read_chunks(spec, &cuts.iter().map(|cut| cut.bytes.as_slice()).collect::<Vec<_>>())
}

fn table(reading: &Reading, files: &Files<'_>) -> Result<(Table, BadRows), Fault> {
    let (survey, cuts) = surveyed(reading, None, files)?;
    let (table, rows) = read(&spec(reading, &survey, &cuts), &cuts)?;
    assert_eq!(rows, survey.rows);
    Ok((table, rows))
}

fn cells(table: &Table, name: &str) -> Vec<Option<String>> {
    let texts = table.column(name).unwrap().texts();
    texts.into_iter().map(|text| text.map(|text| text.to_string())).collect()
}

fn row(table: &Table, at: usize) -> Vec<String> {
    let cell = |name: &String| cells(table, name)[at].clone().unwrap_or("null".to_owned());
    table.columns().iter().map(cell).collect()
}

fn digits() -> Files<'static> {
    vec![
        ("d/one/a.png", grey((2, 1), &[0, 255])),
        ("d/one/b.png", grey((2, 1), &[1, 254])),
        ("d/two/a.png", grey((2, 1), &[7, 8])),
        ("d/two/b.png", grey((2, 1), &[9, 10])),
        ("d/two/c.png", grey((2, 1), &[11, 12])),
    ]
}

#[test]
fn a_file_is_a_row_of_pixels_and_its_folder_the_label() {
    let (table, rows) = table(&reading(GREY, OnBadRow::Fail), &digits()).unwrap();
    assert_eq!(table.columns(), ["y0x0", "y0x1", "label"]);
    assert_eq!(
        (row(&table, 0), row(&table, 4)),
        (
            ["0", "255", "one"].map(str::to_owned).to_vec(),
            ["11", "12", "two"].map(str::to_owned).to_vec(),
        )
    );
    assert_eq!((rows.rows, rows.bad), (5, 0));
}

#[test]
fn lines_come_first_and_the_channels_of_a_pixel_beside_each_other() {
    let rgb: Vec<u8> = (0..12).collect();
    let files = vec![("a.png", file((2, 2), (ColorType::Rgb, BitDepth::Eight), None, &rgb))];
    let look = Look { label: Label::None, channels: None };
    let (table, _) = table(&reading(look, OnBadRow::Fail), &files).unwrap();
    assert_eq!(table.columns()[..4], ["y0x0c0", "y0x0c1", "y0x0c2", "y0x1c0"]);
    assert_eq!(table.columns()[11], "y1x1c2");
    assert_eq!(row(&table, 0), (0..12).map(|x| x.to_string()).collect::<Vec<_>>());
}

#[test]
fn every_kind_of_pixel_is_brought_to_eight_bits_and_to_the_channels_asked_for() {
    use BitDepth::{Eight, One, Sixteen};
    use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    let palette: &[u8] = &[10, 20, 30, 255, 0, 0];
    let check = |kind: (ColorType, BitDepth), data: &[u8], asked: Option<u32>, expect: &[u8]| {
        let palette = (kind.0 == Indexed).then_some(palette);
        let image = png::read(&file((2, 1), kind, palette, data), asked).unwrap();
        assert_eq!(image.values, expect, "{kind:?} {asked:?}");
        assert_eq!(image.extent.channels * 2, expect.len());
    };
    check((Grayscale, One), &[0b0100_0000], None, &[0, 255]);
    check((Grayscale, Sixteen), &[1, 200, 255, 0], None, &[1, 255]);
    check((Grayscale, Eight), &[3, 4], Some(3), &[3, 3, 3, 4, 4, 4]);
    check((GrayscaleAlpha, Eight), &[3, 0, 4, 9], None, &[3, 0, 4, 9]);
    check((GrayscaleAlpha, Eight), &[3, 0, 4, 9], Some(1), &[3, 4]);
    check((Indexed, One), &[0b1000_0000], None, &[255, 0, 0, 10, 20, 30]);
    // 0.299, 0.587 and 0.114 of red, green and blue.
    check((Rgb, Eight), &[255, 0, 0, 0, 255, 0], Some(1), &[76, 150]);
    check((Rgba, Eight), &[0, 0, 255, 0, 9, 9, 9, 9], Some(1), &[29, 9]);
    check((Rgba, Eight), &[1, 2, 3, 0, 4, 5, 6, 9], Some(3), &[1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_label_is_what_the_name_says() {
    let check = |label: Label, name: &str, expect: Option<&str>| {
        let said = super::label(Look { label, channels: None }, name).ok();
        assert_eq!(said.as_deref(), expect, "{label:?} {name}");
    };
    check(Label::Folder, "a/b/c.png", Some("b"));
    check(Label::Folder, "c.png", None);
    check(Label::Folder, "/c.png", None);
    check(Label::First(b'_'), "a/7_0_1.png", Some("7"));
    check(Label::Last(b'_'), "a/0_1_cat.x.png", Some("cat.x"));
    check(Label::Last(b'-'), "a/0_1.png", None);
    check(Label::First(b'_'), "_1.png", None);
    check(Label::None, "c.png", Some(""));
    let mut files = digits();
    files[2].0 = "d.png";
    let fault = table(&reading(GREY, OnBadRow::Fail), &files).unwrap_err();
    assert_eq!(fault.message, "d.png: image 3 has a name that says no label");
}

#[test]
fn what_cannot_be_read_is_refused_left_out_or_null() {
    let mut files = digits();
    files[1].1 = grey((1, 2), &[1, 2]);
    files[2].1 = b"GIF89a".to_vec();
    let fault = table(&reading(GREY, OnBadRow::Fail), &files).unwrap_err();
    let message = "d/one/b.png: image 2 is an image of 2 × 1 × 1, the first is of 1 × 2 × 1";
    assert_eq!(fault.message, message);
    let (skipped, rows) = table(&reading(GREY, OnBadRow::Skip), &files).unwrap();
    assert_eq!((skipped.rows(), rows.rows, rows.bad), (3, 5, 2));
    assert!(rows.offenders[1].what.starts_with("is no PNG"), "{:?}", rows.offenders);
    let (nulls, _) = table(&reading(GREY, OnBadRow::Null), &files).unwrap();
    assert_eq!(row(&nulls, 1), ["null", "null", "one"]);
    assert_eq!(row(&nulls, 3), ["9", "10", "two"]);
    let none = vec![("a/b.png", b"x".to_vec())];
    let fault = table(&reading(GREY, OnBadRow::Skip), &none).unwrap_err();
    assert_eq!(fault.message, "none of the images can be read");
}

#[test]
fn chunks_are_read_by_themselves_and_together_are_the_whole() {
    let reading = reading(GREY, OnBadRow::Skip);
    let mut files = digits();
    files[0].1 = b"x".to_vec();
    files[4].1 = b"x".to_vec();
    let (whole, _) = table(&reading, &files).unwrap();
    for (target, rows) in [
        (ChunkTarget::Rows(1), vec![2, 1, 2]),
        (ChunkTarget::Rows(3), vec![3, 2]),
        (ChunkTarget::Bytes(32), vec![3, 2]),
    ] {
        let (survey, cuts) = surveyed(&reading, Some(target), &files).unwrap();
        let spec = spec(&reading, &survey, &cuts);
        let counts: Vec<u64> = spec.chunks.iter().map(|chunk| chunk.rows).collect();
        assert_eq!(counts, rows, "{target:?}");
        let firsts = spec.chunks.iter().scan(1, |at, chunk| {
            *at += chunk.rows;
            Some(*at - chunk.rows)
        });
        assert!(firsts.eq(spec.chunks.iter().map(|chunk| chunk.first_line)));
        let parts = spec.chunks.iter().zip(&cuts).map(|(chunk, cut)| {
            let one = Ingest { chunks: vec![chunk.clone()], ..spec.clone() };
            read(&one, std::slice::from_ref(cut)).unwrap().0
        });
        assert_eq!(Table::concat(&parts.collect::<Vec<_>>()).unwrap(), whole);
        assert_eq!(read(&spec, &cuts).unwrap().0, whole);
        let keep = Some(vec!["label".to_owned(), "y0x1".to_owned()]);
        let few = Ingest { keep, limit: Some(3), ..spec.clone() };
        let few = read(&few, &cuts).unwrap().0;
        assert_eq!(
            (few.columns(), row(&few, 1)),
            (
                ["label", "y0x1"].map(str::to_owned).to_vec(),
                ["two", "8"].map(str::to_owned).to_vec(),
            )
        );
        // The pin is what counts.
        let mut lie = spec.clone();
        lie.columns.pop();
        assert!(read(&lie, &cuts).unwrap_err().message.contains("does not match its pin"));
    }
}

#[test]
fn r13_a_file_that_lies_of_its_size_is_refused_before_it_is_decoded() {
    let honest = grey((2, 1), &[0, 255]);
    for (sides, expect) in [
        ([1 << 30, 1 << 30], "a table has fewer than 16384"),
        ([16_384, 1], "a table has fewer than 16384"),
        ([0, 1], "is no PNG"),
        ([100, 100], "is no PNG"),
    ] {
        let mut lie = honest.clone();
        // Width and height stand behind signature, length and name, before a sum of all of it.
        for (at, side) in [16, 20].into_iter().zip(sides) {
            lie[at..at + 4].copy_from_slice(&u32::to_be_bytes(side));
        }
        let sum = crc(&lie[12..29]);
        lie[29..33].copy_from_slice(&sum.to_be_bytes());
        let wrong = png::read(&lie, None).unwrap_err();
        assert!(wrong.what.contains(expect), "{sides:?}: {}", wrong.what);
    }
    let reading = reading(GREY, OnBadRow::Skip);
    let (survey, cuts) = surveyed(&reading, None, &digits()).unwrap();
    let spec = spec(&reading, &survey, &cuts);
    for at in 0..cuts[0].bytes.len() {
        assert!(png::read(&honest[..at.min(honest.len() - 1)], None).is_err());
        for with in [0, 0x7f, 0xff] {
            let mut lie = cuts[0].clone();
            lie.bytes[at] = with;
            let _ = read(&spec, &[lie]);
        }
    }
}

/// The sum at the end of a part of a PNG.
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}
