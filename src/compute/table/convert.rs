//! Conversion: columns of Arrow types to the four kinds of a table.
//! Never drops what it cannot hold without a word: such a cell makes its row a bad one.
//!
//! Booleans, integers, floats and strings are what they are; decimals become the nearest real;
//! dates, times and timestamps become their text (ISO 8601, in UTC), or the count in the file where
//! an integer is declared; durations become their count. Dictionaries are what their values are.
//! Lists, structs, maps, unions, intervals and binary data are refused.

use super::ColumnKind;
use super::column::{Building, Nulls};
use super::lanes::Text;
use crate::compute::{Fault, quote};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowTimestampType, Float64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use std::iter;
use std::sync::Arc;

/// Digits of a decimal that fit an integer, however they are combined.
const SURE_DIGITS: u8 = 18;

/// The kind that holds what a type holds; a fault where there is none.
pub(super) fn kind_of(name: &str, ty: &DataType) -> Result<ColumnKind, Fault> {
    use DataType as T;
    Ok(match ty {
        T::Boolean => ColumnKind::Truth,
        ty if ty.is_integer() => ColumnKind::Integer,
        T::Duration(_) => ColumnKind::Integer,
        ty if ty.is_floating() => ColumnKind::Real,
        T::Decimal32(digits, 0) | T::Decimal64(digits, 0) | T::Decimal128(digits, 0)
            if *digits <= SURE_DIGITS =>
        {
            ColumnKind::Integer
        }
        ty if ty.is_decimal() => ColumnKind::Real,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => ColumnKind::Text,
        ty if is_time(ty) => ColumnKind::Text,
        T::Dictionary(_, values) => kind_of(name, values)?,
        other => {
            let noun = match other {
                ty if ty.is_binary() => "binary data",
                T::Struct(_) => "a struct",
                T::Map(..) => "a map",
                T::List(_) | T::LargeList(_) | T::FixedSizeList(..) => "a list",
                _ => "of a type that no table has",
            };
            return Err(Fault::new(
                format!("column {} is {noun}", quote(name)),
                "name the columns to read in `columns: [ … ]` of the source, without this one; or \
                 write it as numbers or text",
            ));
        }
    })
}

const fn is_time(ty: &DataType) -> bool {
    use DataType as T;
    matches!(ty, T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..))
}

/// A column as this kind. What it cannot hold is null: such cells are those that were not before.
pub(super) fn convert(
    array: &ArrayRef,
    kind: ColumnKind,
    nulls: &Nulls,
) -> Result<ArrayRef, Fault> {
    let array = &plain(array)?;
    let ty = array.data_type();
    let is_count = is_time(ty) && kind == ColumnKind::Integer;
    if is_count || matches!(ty, DataType::Duration(_)) {
        let counts = cast(array, &DataType::Int64).map_err(refused)?;
        return if kind == ColumnKind::Integer {
            Ok(counts)
        } else {
            parsed(&texts(&counts)?, kind, nulls)
        };
    }
    match (ty, kind) {
        (DataType::Boolean, ColumnKind::Truth) => Ok(Arc::clone(array)),
        (ty, ColumnKind::Integer) if ty.is_integer() => {
            cast(array, &DataType::Int64).map_err(refused)
        }
        (ty, ColumnKind::Real) if ty.is_floating() => {
            let reals = cast(array, &DataType::Float64).map_err(refused)?;
            let reals = reals.as_primitive::<Float64Type>().iter();
            Ok(Arc::new(reals.map(|x| x.filter(|x| x.is_finite())).collect::<Float64Array>()))
        }
        _ => parsed(&texts(array)?, kind, nulls),
    }
}

/// The values of a dictionary, each as often as it occurs; anything else as it is.
fn plain(array: &ArrayRef) -> Result<ArrayRef, Fault> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values).map_err(refused),
        _ => Ok(Arc::clone(array)),
    }
}

/// Cells as text.
fn texts(array: &ArrayRef) -> Result<StringArray, Fault> {
    let texts = match array.data_type() {
        DataType::Null => Arc::new(StringArray::new_null(array.len())),
        DataType::Timestamp(unit, Some(_)) => return instants(array, *unit),
        ty if ty.is_floating() => {
            let reals = cast(array, &DataType::Float64).map_err(refused)?;
            let reals = reals.as_primitive::<Float64Type>().iter();
            return Ok(reals.map(|real| real.map(|real| real.to_string())).collect());
        }
        _ => cast(array, &DataType::Utf8).map_err(refused)?,
    };
    Ok(texts.as_string::<i32>().clone())
}

/// Timestamps of a time zone: what is stored is UTC, whatever zone they are to be shown in.
fn instants(array: &ArrayRef, unit: TimeUnit) -> Result<StringArray, Fault> {
    fn without_zone<T: ArrowTimestampType>(array: &ArrayRef) -> ArrayRef {
        Arc::new(array.as_primitive::<T>().clone().with_timezone_opt(None::<Arc<str>>))
    }
    let plain = match unit {
        TimeUnit::Second => without_zone::<TimestampSecondType>(array),
        TimeUnit::Millisecond => without_zone::<TimestampMillisecondType>(array),
        TimeUnit::Microsecond => without_zone::<TimestampMicrosecondType>(array),
        TimeUnit::Nanosecond => without_zone::<TimestampNanosecondType>(array),
    };
    let texts = cast(&plain, &DataType::Utf8).map_err(refused)?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(|text| format!("{text}Z"))).collect())
}

/// What texts say, as this kind.
fn parsed(texts: &StringArray, kind: ColumnKind, nulls: &Nulls) -> Result<ArrayRef, Fault> {
    let mut building = Building::new(kind, texts.len());
    for text in texts {
        let text = text.and_then(|text| nulls.or_null(Text::new(text.as_bytes())));
        if building.push(iter::once(text)).is_some() {
            building.push_null();
        }
    }
    Ok(building.finish())
}

/// Which cells could not be held: those that are null only now, and were not meant to be.
pub(super) fn lost(
    before: &ArrayRef,
    after: &ArrayRef,
    nulls: &Nulls,
) -> Result<Vec<usize>, Fault> {
    if before.logical_null_count() == after.null_count() {
        return Ok(Vec::new());
    }
    let validity = before.logical_nulls();
    let was_null = |row: usize| validity.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let mut lost: Vec<usize> =
        (0..after.len()).filter(|row| after.is_null(*row) && !was_null(*row)).collect();
    if !nulls.is_empty() && !lost.is_empty() {
        let texts = texts(&plain(before)?)?;
        lost.retain(|row| !nulls.has(Text::new(texts.value(*row).as_bytes()), 0));
    }
    Ok(lost)
}

/// What a cell says, for a message.
pub(super) fn shown(array: &ArrayRef, row: usize) -> String {
    let text = plain(&array.slice(row, 1)).and_then(|array| texts(&array));
    text.ok().map(|text| quote(text.iter().next().flatten().unwrap_or("?"))).unwrap_or_default()
}

/// The bytes are no file of their format.
pub(super) fn unreadable(why: impl std::fmt::Display) -> Fault {
    Fault::new(
        format!("the file cannot be read: {}", quote(&why.to_string())),
        "look whether it is whole, and of the `format` that the source says",
    )
}

/// A format's crate refuses the bytes. Its words are not said: they may depend on the machine, and
/// workers have to agree on those of a failure.
pub(super) fn refused(error: impl std::fmt::Display) -> Fault {
    compressed(&error.to_string()).unwrap_or_else(|| unreadable("it is not as its format has it"))
}

/// Sound bytes, but in a compression that this program does not know.
fn compressed(said: &str) -> Option<Fault> {
    let word = |text: &str| text.split_whitespace().next().map(str::to_owned);
    // Parquet's crate says the first, Arrow's the second.
    if let Some((_, codec)) = said.split_once("Disabled feature at compile time: ") {
        let message = format!("the file is compressed by {}, which is not read", word(codec)?);
        return Some(Fault::new(message, "write it with snappy, gzip or zstd, or uncompressed"));
    }
    let (before, _) = said.split_once(" IPC decompression")?;
    let message =
        format!("the file is compressed by {}, which is not read", before.split(' ').next_back()?);
    let hint = "write it uncompressed: in pandas to_feather(FILE, compression='uncompressed')";
    Some(Fault::new(message, hint))
}
