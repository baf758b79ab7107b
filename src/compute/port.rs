//! Ports: the tables of one input, which may be many chunks one below the other.
//! Never has more of them in memory than one, unless they are wanted as a whole.

use super::backing::Inputs;
use super::recipe::Recipe;
use super::table::{Column, Table};
use super::{Fault, memory, quote};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use std::borrow::Cow;

/// Tables one below the other, of the same columns and history.
pub trait Tables {
    /// One after the other.
    fn each(&self, take: &mut dyn FnMut(&Table) -> Result<(), Fault>) -> Result<(), Fault>;

    /// As one.
    fn whole(&self) -> Result<Cow<'_, Table>, Fault>;
}

impl Tables for Table {
    fn each(&self, take: &mut dyn FnMut(&Table) -> Result<(), Fault>) -> Result<(), Fault> {
        take(self)
    }

    fn whole(&self) -> Result<Cow<'_, Table>, Fault> {
        Ok(Cow::Borrowed(self))
    }
}

/// A port that has something.
pub(super) struct Port<'a> {
    inputs: Inputs<'a>,
    name: &'a str,
    /// The places of its inputs among all.
    at: Vec<usize>,
}

impl<'a> Port<'a> {
    /// The port of this name, or none where nothing is connected to it.
    pub(super) fn find(inputs: Inputs<'a>, name: &'a str) -> Result<Option<Self>, Fault> {
        let named = || inputs.named.iter().map(|input| input.name.as_str());
        let of_port = named().enumerate().filter(|(_, input)| instance(name, input).is_some());
        let at: Vec<usize> = of_port.map(|(at, _)| at).collect();
        if at.len() > 1 && named().filter(|input| *input == name).count() > 1 {
            return Err(twice(name));
        }
        Ok((!at.is_empty()).then_some(Self { inputs, name, at }))
    }

    /// A table, and how many bytes it was.
    fn read(&self, at: usize) -> Result<(Table, usize), Fault> {
        if let Some(backing) = self.inputs.backing.filter(|backing| backing.holds(at)) {
            let mut read = None;
            backing.read(at, &mut |bytes| {
                read = Some((Table::from_bytes(bytes)?, bytes.len()));
                Ok(())
            })?;
            return read.ok_or_else(|| no_input(self.name));
        }
        let input = self.inputs.named.get(at).ok_or_else(|| no_input(self.name))?;
        Ok((Table::from_bytes(&input.bytes)?, input.bytes.len()))
    }

    fn too_large(&self, bytes: &str) -> Fault {
        Fault::new(
            format!("the chunks of {} have {bytes} bytes together", quote(self.name)),
            format!(
                "one job takes at most {ARTIFACT_BYTES_MAX}: keep fewer columns or rows when \
                 they are ingested"
            ),
        )
    }
}

impl Tables for Port<'_> {
    fn each(&self, take: &mut dyn FnMut(&Table) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut first: Option<(Vec<Column>, Recipe)> = None;
        for &at in &self.at {
            let (table, _) = self.read(at)?;
            match &first {
                None => first = Some((table.schema(), table.recipe().clone())),
                Some((schema, recipe)) if table.is_like(schema, recipe) => {}
                Some(_) => return Err(Table::unlike()),
            }
            take(&table)?;
            drop(table);
            memory::check()?;
        }
        Ok(())
    }

    fn whole(&self) -> Result<Cow<'_, Table>, Fault> {
        if let [one] = self.at.as_slice() {
            return Ok(Cow::Owned(self.read(*one)?.0));
        }
        let given = |at: &usize| self.inputs.named.get(*at).map_or(0, |input| input.bytes.len());
        let bytes = self.at.iter().map(given).fold(0, usize::saturating_add);
        if bytes > ARTIFACT_BYTES_MAX {
            return Err(self.too_large(&bytes.to_string()));
        }
        memory::room(bytes)?;
        let (mut tables, mut sum) = (Vec::with_capacity(self.at.len()), 0usize);
        for &at in &self.at {
            let (table, bytes) = self.read(at)?;
            sum = sum.saturating_add(bytes);
            if sum > ARTIFACT_BYTES_MAX {
                return Err(self.too_large(&format!("more than {ARTIFACT_BYTES_MAX}")));
            }
            tables.push(table);
        }
        memory::room(sum)?;
        Table::concat(&tables).map(Cow::Owned)
    }
}

/// What an input of a port with many is called: `width=16` for `models[width=16]`, `models` for
/// itself; none if it is an input of another port.
pub(super) fn instance<'a>(port: &str, input: &'a str) -> Option<&'a str> {
    match input.strip_prefix(port)? {
        "" => Some(input),
        rest => rest.strip_prefix('[')?.strip_suffix(']'),
    }
}

pub(super) fn no_input(name: &str) -> Fault {
    Fault::new(
        format!("the job has no input {}", quote(name)),
        format!("connect it under `inputs:` of the stage: {name}: stage.output"),
    )
}

pub(super) fn twice(name: &str) -> Fault {
    Fault::new(
        format!("the job has more than one input {}", quote(name)),
        "connect exactly one output to it",
    )
}
