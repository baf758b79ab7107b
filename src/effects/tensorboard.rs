//! TensorBoard event files: scalars over steps, one file per series of tags, as TensorBoard and
//! its readers expect them. Never reads one, and knows no record but scalars.
//!
//! A file is a sequence of TFRecords: the length as u64, its masked CRC32C, the bytes, their masked
//! CRC32C; all little-endian. The bytes are an `Event` of `tensorflow/core/util/event.proto` in the
//! encoding of protocol buffers; the first says which version of the file this is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the first record says.
const FILE_VERSION: &str = "brain.Event:2";

/// One value of one scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Milliseconds since 1970.
    pub at: u64,
    /// The step.
    pub step: u64,
    /// What was measured.
    pub tag: String,
    /// The value.
    pub value: f32,
}

/// Writes scalars as the event file of the folder `dir`, which is made; one that was written from
/// the same beginning is replaced. Returns the file.
pub fn write(dir: &Path, scalars: &[Scalar]) -> io::Result<PathBuf> {
    let at = scalars.iter().map(|scalar| scalar.at).min().unwrap_or_default();
    fs::create_dir_all(dir)?;
    // TensorBoard takes any file with `tfevents` in its name, in the order of the names.
    let path = dir.join(format!("events.out.tfevents.{:010}.ohc", at / 1_000));
    let first = event(at, 0, &text_field(3, FILE_VERSION));
    let mut bytes = record(&first);
    for scalar in scalars {
        bytes.extend(record(&event(scalar.at, scalar.step, &summary(scalar))));
    }
    fs::write(&path, bytes)?;
    Ok(path)
}

/// `Event { wall_time = 1, step = 2, … }`.
fn event(at: u64, step: u64, what: &[u8]) -> Vec<u8> {
    // Exact up to the year 287,396.
    let seconds = at as f64 / 1_000.0;
    let mut bytes = vec![0x09];
    bytes.extend(seconds.to_le_bytes());
    bytes.push(0x10);
    bytes.extend(varint(step));
    bytes.extend(what);
    bytes
}

/// `summary = 5: Summary { value = 1: Value { tag = 1, simple_value = 2 } }`.
fn summary(scalar: &Scalar) -> Vec<u8> {
    let mut value = text_field(1, &scalar.tag);
    value.push(0x15);
    value.extend(scalar.value.to_le_bytes());
    bytes_field(5, &bytes_field(1, &value))
}

fn text_field(number: u8, text: &str) -> Vec<u8> {
    bytes_field(number, text.as_bytes())
}

/// A field of a number below 16 whose value has a length.
fn bytes_field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(number << 3) | 2];
    bytes.extend(varint(value.len() as u64));
    bytes.extend(value);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(data);
    bytes.extend(masked(data).to_le_bytes());
    bytes
}

/// The checksum of data that may hold checksums itself: see `tsl/lib/hash/crc32c.h`.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_seven_bits_at_a_time() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xac, 2]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        // The first record of every file that TensorFlow writes, but for its time (here 0).
        let bytes = record(&event(0, 0, &text_field(3, FILE_VERSION)));
        let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
        assert_eq!(length, Some(26));
        // The masked CRC32C of the length 26; tests/it reads whole files with TensorBoard's reader.
        assert_eq!(bytes.len(), 8 + 4 + 26 + 4);
        assert_eq!(masked(b""), 0xa282_ead8);
    }

    #[test]
    fn the_same_series_gives_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let scalar = |step| Scalar { at: 1_700_000_000_123, step, tag: "loss".into(), value: 0.5 };
        let path = write(&dir.path().join("a/b"), &[scalar(1), scalar(2)]).unwrap();
        let first = fs::read(&path).unwrap();
        assert_eq!(write(&dir.path().join("a/b"), &[scalar(1), scalar(2)]).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), first);
        assert_eq!(path.file_name().unwrap(), "events.out.tfevents.1700000000.ohc");
    }
}
