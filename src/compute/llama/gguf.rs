//! GGUF: the one file that llama.cpp keeps a model in. Names, numbers and matrices are looked at
//! where they lie. Never copies what a length says before the bytes are known to be there.

use super::blocks::Form;
use super::config::Config;
use super::pieces;
use super::weights::{Stored, Weights};
use crate::compute::{Fault, quote};
use std::collections::BTreeMap;

const MAGIC: &[u8] = b"GGUF";
/// Things that a file says of itself.
const SAYINGS_MAX: u64 = 4_096;
/// Matrices of a file.
const MATRICES_MAX: u64 = 65_536;
/// Values of one list.
const LIST_MAX: u64 = 2_000_000;
/// Dimensions of a matrix.
const DIMENSIONS_MAX: u32 = 4;
/// The kind of a value that is a whole number of 32 bits; of the kinds below it are smaller ones.
const U32: u32 = 4;
/// Where matrices begin, if nothing is said of it: at a multiple of this.
const ALIGNMENT: u64 = 32;

/// A file, read as far as its matrices.
#[derive(Debug)]
pub(super) struct Gguf<'a> {
    said: BTreeMap<&'a str, Value<'a>>,
    matrices: BTreeMap<&'a str, Matrix<'a>>,
}

/// What is said under a key.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Whole(u64),
    Real(f64),
    Truth(bool),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Wholes(Vec<u64>),
    Reals(Vec<f32>),
    /// Below zero, or a list of what is of no use here.
    Other,
}

/// A matrix: numbers of a row first, as the file has it.
#[derive(Debug)]
struct Matrix<'a> {
    shape: (usize, usize),
    form: Option<Form>,
    bytes: &'a [u8],
}

/// The bytes that are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N as u64)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.u64()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    /// A value of a kind that is no list.
    fn scalar(&mut self, kind: u32) -> Option<Value<'a>> {
        let whole = |x: i64| u64::try_from(x).map_or(Value::Other, Value::Whole);
        Some(match kind {
            0 => Value::Whole(u64::from(u8::from_le_bytes(self.array()?))),
            1 => whole(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Whole(u64::from(u16::from_le_bytes(self.array()?))),
            3 => whole(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Whole(u64::from(self.u32()?)),
            5 => whole(i64::from(i32::from_le_bytes(self.array()?))),
            6 => Value::Real(f64::from(f32::from_le_bytes(self.array()?))),
            7 => Value::Truth(self.array::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            10 => Value::Whole(self.u64()?),
            11 => whole(i64::from_le_bytes(self.array()?)),
            12 => Value::Real(f64::from_le_bytes(self.array()?)),
            _ => return None,
        })
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let kind = self.u32()?;
        if kind != 9 {
            return self.scalar(kind);
        }
        let (of, count) = (self.u32()?, self.u64()?);
        if count > LIST_MAX {
            return None;
        }
        let (mut texts, mut wholes, mut reals) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            match self.scalar(of)? {
                // No list of so small numbers is of use, and each would take eight times its bytes.
                _ if of < U32 => {}
                Value::Text(text) => texts.push(text),
                Value::Whole(whole) => wholes.push(whole),
                Value::Real(real) => reals.push(real as f32),
                _ => {}
            }
        }
        Some(match of {
            8 => Value::Texts(texts),
            6 | 12 => Value::Reals(reals),
            _ if wholes.len() as u64 == count => Value::Wholes(wholes),
            _ => Value::Other,
        })
    }
}

impl<'a> Gguf<'a> {
    /// Whether bytes begin as such a file does.
    pub(super) fn is(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads a file.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::parse(bytes).ok_or_else(|| {
            let hint = "fetch it again; versions 2 and 3 of GGUF are read, in one file";
            Fault::new("the bytes of the GGUF file are damaged", hint)
        })
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(MAGIC)?);
        if !matches!(reader.u32()?, 2 | 3) {
            return None;
        }
        let (matrices, sayings) = (reader.u64()?, reader.u64()?);
        if matrices > MATRICES_MAX || sayings > SAYINGS_MAX {
            return None;
        }
        let mut said = BTreeMap::new();
        for _ in 0..sayings {
            let key = reader.text()?;
            said.insert(key, reader.value()?);
        }
        let mut infos = Vec::new();
        for _ in 0..matrices {
            let name = reader.text()?;
            let count = reader.u32()?;
            if count > DIMENSIONS_MAX {
                return None;
            }
            let mut sides = [1usize; DIMENSIONS_MAX as usize];
            for side in sides.iter_mut().take(count as usize) {
                *side = usize::try_from(reader.u64()?).ok()?;
            }
            infos.push((name, sides, reader.u32()?, reader.u64()?));
        }
        let alignment = match said.get("general.alignment") {
            None => ALIGNMENT,
            Some(Value::Whole(alignment)) if alignment.is_power_of_two() => *alignment,
            Some(_) => return None,
        };
        let at = (bytes.len() - reader.0.len()) as u64;
        let begin = usize::try_from(at.checked_next_multiple_of(alignment)?).ok()?;
        let data = bytes.get(begin.min(bytes.len())..)?;
        let (mut found, mut places) = (BTreeMap::new(), Vec::new());
        for (name, [columns, second, third, fourth], form, from) in infos {
            let rows = second.checked_mul(third)?.checked_mul(fourth)?;
            let form = Form::of_gguf(form);
            let (weights, size) = form.map_or((1, 0), Form::block);
            let len = (rows.checked_mul(columns)? / weights).checked_mul(size)?;
            let from = usize::try_from(from).ok()?;
            let bytes = data.get(from..from.checked_add(len)?)?;
            places.extend((len > 0).then_some((from, from + len)));
            found.insert(name, Matrix { shape: (rows, columns), form, bytes });
        }
        // A job is priced by its bytes: no two matrices are made of the same ones.
        places.sort_unstable();
        let apart = places.iter().zip(places.iter().skip(1)).all(|((_, to), (from, _))| to <= from);
        apart.then_some(Self { said, matrices: found })
    }

    /// A text that the file says.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        match self.said.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number of things that the file says.
    pub(super) fn count(&self, key: &str) -> Option<usize> {
        match self.said.get(key)? {
            Value::Whole(whole) => usize::try_from(*whole).ok(),
            // One for each layer, which are alike here.
            Value::Wholes(all) => match all.as_slice() {
                [first, rest @ ..] if rest.iter().all(|each| each == first) => {
                    usize::try_from(*first).ok()
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// A real number that the file says.
    pub(super) fn real(&self, key: &str) -> Option<f64> {
        match self.said.get(key) {
            Some(Value::Real(real)) => Some(*real),
            _ => None,
        }
    }

    /// Whether something holds, that the file says.
    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        match self.said.get(key) {
            Some(Value::Truth(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// A list of texts; empty where there is none.
    pub(super) fn texts(&self, key: &str) -> &[&'a str] {
        match self.said.get(key) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// A list of numbers from 0 on; empty where there is none.
    pub(super) fn wholes(&self, key: &str) -> &[u64] {
        match self.said.get(key) {
            Some(Value::Wholes(wholes)) => wholes,
            _ => &[],
        }
    }

    /// A list of real numbers; empty where there is none.
    pub(super) fn reals(&self, key: &str) -> &[f32] {
        match self.said.get(key) {
            Some(Value::Reals(reals)) => reals,
            _ => &[],
        }
    }

    /// Whether there is a matrix of that name.
    pub(super) fn has(&self, matrix: &str) -> bool {
        self.matrices.contains_key(matrix)
    }

    /// The measures of the network.
    pub(super) fn config(&self) -> Result<Config, Fault> {
        Config::of_gguf(self)
    }

    /// The bytes of a tokenizer.json that does what the file says.
    pub(super) fn tokenizer(&self) -> Result<Vec<u8>, Fault> {
        pieces::tokenizer(self)
    }

    /// By how much the pairs of a head turn more slowly; empty where nothing is said.
    pub(super) fn rotation(&self, pairs: usize) -> Result<Vec<f32>, Fault> {
        const NAME: &str = "rope_freqs.weight";
        if !self.has(NAME) {
            return Ok(Vec::new());
        }
        let factors = self.stored(NAME)?;
        if factors.shape() == (1, pairs) {
            Ok(factors.values())
        } else {
            let message = format!("{} is not of {pairs} numbers", quote(NAME));
            Err(Fault::new(message, "the file is damaged: fetch it again"))
        }
    }

    fn stored(&self, name: &str) -> Result<Stored<'a>, Fault> {
        let matrix = self.matrices.get(name);
        let stored = matrix.and_then(|it| Stored::new(it.form?, it.shape, it.bytes));
        stored.ok_or_else(|| {
            let hint = "forms are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K";
            Fault::new(format!("the matrix {} is not of a form that is read", quote(name)), hint)
        })
    }

    /// The matrices, by the names that Hugging Face has for them.
    pub(super) fn weights(&self) -> Result<Weights<'a>, Fault> {
        let heads = |key: &str| self.count(&format!("llama.attention.{key}"));
        let queries = heads("head_count").unwrap_or(1);
        let keys = heads("head_count_kv").unwrap_or(queries);
        let mut weights = Weights::default();
        for name in self.matrices.keys() {
            let Some((known, paired)) = known(name) else { continue };
            let stored = self.stored(name)?;
            let heads = match paired {
                Paired::No => None,
                Paired::Queries => Some(queries),
                Paired::Keys => Some(keys),
            };
            let is_whole = |heads: usize| heads > 0 && stored.shape().0.is_multiple_of(2 * heads);
            weights.add(
                known,
                match heads {
                    None => stored,
                    Some(heads) if is_whole(heads) => stored.paired(heads),
                    Some(heads) => {
                        let message = format!("{} is not of {heads} heads", quote(name));
                        return Err(Fault::new(message, "the file is damaged: fetch it again"));
                    }
                },
            );
        }
        Ok(weights)
    }
}

/// Whether the rows of a matrix stand in pairs, and of which heads.
enum Paired {
    No,
    Queries,
    Keys,
}

/// The name that Hugging Face has for a matrix; none for those that are of no use.
fn known(name: &str) -> Option<(String, Paired)> {
    let of_model = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(known) = of_model {
        return Some((known.to_owned(), Paired::No));
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: u16 = layer.parse().ok()?;
    let (known, paired) = match part {
        "attn_norm.weight" => ("input_layernorm", Paired::No),
        "attn_q.weight" => ("self_attn.q_proj", Paired::Queries),
        "attn_k.weight" => ("self_attn.k_proj", Paired::Keys),
        "attn_v.weight" => ("self_attn.v_proj", Paired::No),
        "attn_output.weight" => ("self_attn.o_proj", Paired::No),
        "ffn_norm.weight" => ("post_attention_layernorm", Paired::No),
        "ffn_gate.weight" => ("mlp.gate_proj", Paired::No),
        "ffn_up.weight" => ("mlp.up_proj", Paired::No),
        "ffn_down.weight" => ("mlp.down_proj", Paired::No),
        _ => return None,
    };
    Some((format!("model.layers.{layer}.{known}.weight"), paired))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    /// A file that says a list of eight of this kind, with matrices of eight reals that begin here.
    fn file(kind: u32, list: &[u8], places: &[u64]) -> Vec<u8> {
        let mut bytes = [MAGIC, &3u32.to_le_bytes()].concat();
        bytes.extend((places.len() as u64).to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(text("list"));
        bytes.extend([9, kind].map(u32::to_le_bytes).concat());
        bytes.extend(8u64.to_le_bytes());
        bytes.extend(list);
        for (name, from) in places.iter().enumerate() {
            bytes.extend(text(&name.to_string()));
            bytes.extend([1u32.to_le_bytes().as_slice(), &8u64.to_le_bytes()].concat());
            bytes.extend([0u32.to_le_bytes().as_slice(), &from.to_le_bytes()].concat());
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
        bytes.resize(bytes.len() + 128, 0);
        bytes
    }

    #[test]
    fn matrices_do_not_lie_on_one_another() {
        let read = |places: &[u64]| Gguf::read(&file(U32, &[0; 32], places)).is_ok();
        assert!(read(&[0, 32, 64]) && read(&[96, 0, 32]) && read(&[]));
        assert!(!read(&[0, 0]) && !read(&[0, 64, 28]) && !read(&[32, 0, 60]));
    }

    #[test]
    fn a_list_of_bytes_is_not_kept() {
        let bytes = file(0, &[1; 8], &[]);
        assert_eq!(Gguf::read(&bytes).unwrap().wholes("list"), [0u64; 0]);
        let bytes = file(U32, &[0; 32], &[]);
        assert_eq!(Gguf::read(&bytes).unwrap().wholes("list"), [0; 8]);
    }
}
