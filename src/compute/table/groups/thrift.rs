//! Thrift's compact protocol, read as far as bytes from outside must be known before the crate of
//! the format believes them. Never allocates, and never nests deeper than its bound.
//!
//! That crate reads a field that it knows as its own type, whatever the bytes say, and skips what
//! it does not know. So fields that it knows are held to their type here: else the two would read
//! different things out of the same bytes.

use super::super::convert::unreadable;
use crate::compute::Fault;

/// How deep what is skipped may nest.
const DEPTH_MAX: u32 = 64;

/// What a field is, as the crate reads it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Truth,
    Byte,
    Int32,
    Int64,
    Text,
    Struct(&'static [(i16, Self)]),
    Structs,
}

/// Hears the numbers and texts of a struct, each by the fields that lead there.
type Each<'f, 'a> = &'f mut dyn FnMut(&[i16], Value<'a>) -> Result<(), Fault>;

/// Fields of a struct that the crate knows.
pub(super) type Fields = &'static [(i16, Kind)];

const STOP: u8 = 0;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Kind {
    const fn is(self, code: u8) -> bool {
        match self {
            Self::Truth => code == 1 || code == 2,
            Self::Byte => code == 3,
            Self::Int32 => code == 5,
            Self::Int64 => code == 6,
            Self::Text => code == 8,
            Self::Struct(_) => code == STRUCT,
            Self::Structs => code == LIST,
        }
    }
}

/// A number or bytes that a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(i64),
    Text(&'a [u8]),
}

/// Bytes that are not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thrift<'a>(&'a [u8]);

fn broken() -> Fault {
    unreadable("its parts contradict each other")
}

impl<'a> Thrift<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1)?.first().copied().ok_or_else(broken)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        // The tenth byte has the highest bit, and no other.
        match self.byte()? {
            last @ 0..=1 => Ok(number | u64::from(last) << 63),
            _ => Err(broken()),
        }
    }

    pub(super) fn signed(&mut self) -> Result<i64, Fault> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn size(&mut self) -> Result<usize, Fault> {
        let size = i32::try_from(self.unsigned()?).map_err(|_| broken())?;
        usize::try_from(size).map_err(|_| broken())
    }

    /// The next field of a struct: its number and the code of its type. None at its end.
    fn field(&mut self, last: &mut i16) -> Result<Option<(i16, u8)>, Fault> {
        let head = self.byte()?;
        let code = head & 0xf;
        if code == STOP {
            return Ok(None);
        }
        *last = match i16::from(head >> 4) {
            0 => i16::try_from(self.signed()?).map_err(|_| broken())?,
            more => last.checked_add(more).ok_or_else(broken)?,
        };
        Ok(Some((*last, code)))
    }

    /// The beginning of a list: how many there are, each of at least a byte, and their type.
    fn list(&mut self) -> Result<(usize, u8), Fault> {
        let head = self.byte()?;
        let size = match head >> 4 {
            0xf => self.size()?,
            size => usize::from(size),
        };
        if size > self.left() {
            return Err(broken());
        }
        Ok((size, head & 0xf))
    }

    /// The beginning of a list of structs.
    pub(super) fn structs(&mut self) -> Result<usize, Fault> {
        match self.list()? {
            (size, STRUCT) | (size @ 0, _) => Ok(size),
            _ => Err(broken()),
        }
    }

    /// The next field, which must be this one; then its value follows.
    pub(super) fn expect(&mut self, last: &mut i16, id: i16, kind: Kind) -> Result<(), Fault> {
        match self.field(last)? {
            Some((found, code)) if found == id && kind.is(code) => Ok(()),
            _ => Err(broken()),
        }
    }

    /// Reads a struct: `each` is told the numbers and texts in it, by the fields that lead there.
    pub(super) fn read(&mut self, fields: Fields, each: Each<'_, 'a>) -> Result<(), Fault> {
        self.read_below(fields, &mut Vec::new(), each)
    }

    // Only as deep as the constants that it is given.
    fn read_below(
        &mut self,
        fields: Fields,
        path: &mut Vec<i16>,
        each: Each<'_, 'a>,
    ) -> Result<(), Fault> {
        let mut last = 0;
        while let Some((id, code)) = self.field(&mut last)? {
            let Some((_, kind)) = fields.iter().find(|(known, _)| *known == id) else {
                self.skip(code, DEPTH_MAX)?;
                continue;
            };
            if !kind.is(code) {
                return Err(broken());
            }
            path.push(id);
            match kind {
                Kind::Truth => {}
                Kind::Byte => each(path, Value::Number(i64::from(self.byte()?)))?,
                Kind::Int32 => {
                    let number = i32::try_from(self.signed()?).map_err(|_| broken())?;
                    each(path, Value::Number(i64::from(number)))?;
                }
                Kind::Int64 => each(path, Value::Number(self.signed()?))?,
                Kind::Text => {
                    let size = self.size()?;
                    each(path, Value::Text(self.take(size)?))?;
                }
                Kind::Struct(fields) => self.read_below(fields, path, each)?,
                Kind::Structs => self.skip(LIST, DEPTH_MAX)?,
            }
            path.pop();
        }
        Ok(())
    }

    /// Skips a value. Each of a list takes at least a byte, so there is an end to it.
    fn skip(&mut self, code: u8, depth: u32) -> Result<(), Fault> {
        let deeper = depth.checked_sub(1).ok_or_else(broken)?;
        match code {
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.unsigned()?),
            7 => drop(self.take(8)?),
            8 => {
                let size = self.size()?;
                self.take(size)?;
            }
            LIST | 10 => {
                let (size, of) = self.list()?;
                for _ in 0..size {
                    match of {
                        // In a list, a truth is a byte.
                        1 | 2 => drop(self.byte()?),
                        of => self.skip(of, deeper)?,
                    }
                }
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, code)) = self.field(&mut last)? {
                    self.skip(code, deeper)?;
                }
            }
            13 => drop(self.take(16)?),
            // Maps: no file of this format has any.
            _ => return Err(broken()),
        }
        Ok(())
    }
}

/// A number as it is written, for tests that make files by hand.
#[cfg(test)]
pub(super) fn written(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
