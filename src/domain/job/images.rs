//! Images as a source: what the names of their files say, and how their pixels are taken.
//! Never reads one.

use crate::base::canon::{canonical_enum, canonical_struct};

/// How a source of images is to be read: each file is a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Images {
    /// What of the name of a file is its label.
    pub label: Label,
    /// Values of a pixel: 1 (grey) or 3 (red, green and blue); `None` takes them as they are.
    pub channels: Option<u32>,
}
canonical_struct!(Images { label, channels });

/// What of the name of a file is its label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    /// The folder that it lies in.
    Folder,
    /// What stands before the first of these marks.
    First(u8),
    /// What stands behind the last of these marks, without the ending.
    Last(u8),
    /// Nothing: there is no label.
    None,
}
canonical_enum!(Label { 1 => Folder, 2 => First(x), 3 => Last(x), 4 => None });
