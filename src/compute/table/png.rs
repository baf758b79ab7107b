//! PNG: the pixels of one file, eight bits each. Never decodes an image whose header says that it
//! has more values than a table has columns.

use super::column::Wrong;
use crate::base::limits::COLUMNS_MAX;
use png::{ColorType, Decoder, Limits, Transformations};
use std::fmt;
use std::io::Cursor;

/// Memory that a decoder may take besides the pixels.
const DECODER_BYTES_MAX: usize = 8 << 20;
/// What is said of a file that cannot be decoded.
const DAMAGED: &str = "write the file anew, or let `onBadRow` be `skip`";

/// The extent of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// An image: values line by line, the channels of a pixel beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) extent: Extent,
    pub(super) values: Vec<u8>,
}

impl Extent {
    /// How many values it has.
    pub(super) const fn len(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Whether a table can have it, beside a label.
    pub(super) const fn is_sound(self) -> bool {
        0 < self.len() && self.len() < COLUMNS_MAX
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {} × {}", self.height, self.width, self.channels)
    }
}

/// Decodes a file: as it is, or with one channel (grey) or three (red, green and blue). What is
/// finer than eight bits loses its lower ones, what lets light through loses that.
pub(super) fn read(bytes: &[u8], channels: Option<u32>) -> Result<Image, Wrong> {
    let mut decoder =
        Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: DECODER_BYTES_MAX });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(|error| damaged(&error))?;
    let (width, height) = (header.width as usize, header.height as usize);
    let least = Extent { height, width, channels: channels.unwrap_or(1) as usize };
    if !least.is_sound() {
        return Err(too_many(least));
    }
    let mut reader = decoder.read_info().map_err(|error| damaged(&error))?;
    let size = reader.output_buffer_size().filter(|size| *size <= 4 * COLUMNS_MAX);
    let mut values = vec![0; size.ok_or_else(|| too_many(least))?];
    let frame = reader.next_frame(&mut values).map_err(|error| damaged(&error))?;
    // What is cut off behind the pixels is cut off all the same.
    reader.finish().map_err(|error| damaged(&error))?;
    let has = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
        ColorType::Indexed => return Err(damaged(&"its palette is not there")),
    };
    values.truncate(frame.buffer_size());
    let values = match channels {
        None => values,
        Some(wanted) => values.chunks_exact(has).flat_map(|pixel| turned(pixel, wanted)).collect(),
    };
    let extent = Extent { height, width, channels: channels.map_or(has, |it| it as usize) };
    if !extent.is_sound() || values.len() != extent.len() {
        return Err(too_many(extent));
    }
    Ok(Image { extent, values })
}

/// A pixel with one channel or three.
fn turned(pixel: &[u8], channels: u32) -> Vec<u8> {
    match (pixel, channels) {
        ([grey] | [grey, _], 1) => vec![*grey],
        ([grey] | [grey, _], _) => vec![*grey; 3],
        ([r, g, b, ..], 1) => vec![luma([*r, *g, *b])],
        ([r, g, b, ..], _) => vec![*r, *g, *b],
        ([], _) => Vec::new(),
    }
}

/// How light a pixel is (ITU-R 601), in the integers of Pillow.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471;
    ((sum + 0x8000) >> 16) as u8
}

fn damaged(why: &dyn fmt::Display) -> Wrong {
    let why: String = why.to_string().chars().take(120).collect();
    Wrong::new(format!("is no PNG that can be read: {why}"), DAMAGED)
}

fn too_many(extent: Extent) -> Wrong {
    Wrong::new(
        format!("is an image of {extent}: a table has fewer than {COLUMNS_MAX} pixels"),
        "scale it before, or let `onBadRow` be `skip`",
    )
}
