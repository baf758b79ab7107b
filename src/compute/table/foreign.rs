//! What a file is by its first bytes, where it is no text at all.
//! Never looks further than those, and never guesses from a name.

use crate::compute::Fault;

/// How many bytes tell.
pub(super) const BYTES: usize = 7;

/// What begins so, and what makes text of it.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "is compressed by gzip", "unpack it first: gunzip --keep FILE"),
    (b"BZh91AY", "is compressed by bzip2", "unpack it first: bunzip2 --keep FILE"),
    (b"\xfd7zXZ\0", "is compressed by xz", "unpack it first: unxz --keep FILE"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it first: unzstd FILE"),
    (
        b"PK\x03\x04",
        "is a zip file, as workbooks of Excel are",
        "unpack it first, or save the sheet as CSV in UTF-8",
    ),
    (b"PAR1\x15", "is Parquet", "say `format: parquet`"),
    (b"ARROW1\0", "is Arrow", "say `format: arrow`"),
    (b"\xff\xfe", "is UTF-16", "convert it: iconv -f utf-16 -t utf-8 FILE > NEW"),
    (b"\xfe\xff", "is UTF-16", "convert it: iconv -f utf-16 -t utf-8 FILE > NEW"),
];

/// Why a file that begins so is no text, if that is certain.
pub(super) fn refuse(begin: &[u8]) -> Result<(), Fault> {
    match KNOWN.iter().find(|(mark, ..)| begin.starts_with(mark)) {
        Some((_, what, hint)) => Err(Fault::new(format!("the file {what}"), *hint)),
        None => Ok(()),
    }
}
