//! Rows: numbers, so many a row, in memory or in a file of the machine.
//! Never tells whoever reads them where they lie: the numbers are the same.

use super::backing::{Room, Scratch};
use super::{Fault, memory};
use crate::base::limits::ROWS_BYTES_MAX;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();
/// Bytes that are read or written of a file at once, where that are whole rows.
const AT_ONCE: usize = 256 << 10;

/// Rows, or some of them: whoever picks some copies none.
#[derive(Debug, Clone)]
pub struct Rows {
    whole: Arc<Whole>,
    /// Which of all; none where it is all of them.
    places: Option<Arc<[u32]>>,
}

#[derive(Debug)]
struct Whole {
    width: usize,
    place: Place,
    /// How many numbers there are.
    numbers: usize,
    /// The first number that is not finite.
    stray: Option<usize>,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<f32>),
    /// The numbers one after the other, each in 4 bytes, little-endian.
    File(Box<dyn Scratch>),
}

impl Rows {
    /// Rows of so many numbers each, in memory.
    #[must_use]
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        let (numbers, stray) = (values.len(), stray(&values));
        let place = Place::Memory(values);
        let whole = Arc::new(Whole { width: width.max(1), place, numbers, stray });
        Self { whole, places: None }
    }

    /// How many numbers a row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.whole.width
    }

    /// How many numbers there are in all.
    #[must_use]
    pub fn numbers(&self) -> usize {
        match &self.places {
            Some(places) => places.len() * self.whole.width,
            None => self.whole.numbers,
        }
    }

    /// How many whole rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.numbers() / self.whole.width
    }

    /// The first number that is not finite among all that these rows were picked from: its row and
    /// its place in it.
    #[must_use]
    pub fn stray(&self) -> Option<(usize, usize)> {
        self.whole.stray.map(|at| (at / self.whole.width, at % self.whole.width))
    }

    /// The rows at these places, in this order; places that there are not are left out.
    #[must_use]
    pub fn pick(&self, places: &[usize]) -> Self {
        let place = |&place: &usize| self.place(place).and_then(|place| u32::try_from(place).ok());
        Self { whole: self.whole.clone(), places: Some(places.iter().filter_map(place).collect()) }
    }

    /// All numbers, row by row.
    pub fn all(&self) -> Result<Cow<'_, [f32]>, Fault> {
        match &self.whole.place {
            Place::Memory(values) if self.places.is_none() => Ok(Cow::Borrowed(values)),
            _ => {
                memory::room(self.numbers().saturating_mul(NUMBER))?;
                let mut values = Vec::with_capacity(self.numbers());
                self.each(0..self.count(), |row| values.extend_from_slice(row))?;
                Ok(Cow::Owned(values))
            }
        }
    }

    /// The rows at these places, one after the other; places that there are not are left out.
    pub fn each(
        &self,
        places: impl IntoIterator<Item = usize>,
        mut take: impl FnMut(&[f32]),
    ) -> Result<(), Fault> {
        let width = self.whole.width;
        let mut places = places.into_iter().filter_map(|place| self.place(place)).peekable();
        let file = match &self.whole.place {
            Place::Memory(values) => {
                let row = |place: usize| values.get(place * width..(place + 1) * width);
                places.filter_map(row).for_each(take);
                return Ok(());
            }
            Place::File(file) => file,
        };
        let most = (AT_ONCE / (width * NUMBER)).max(1);
        let (mut bytes, mut row) = (Vec::new(), Vec::with_capacity(width));
        while let Some(first) = places.next() {
            // Those that lie side by side are read at once.
            let mut rows = 1;
            while rows < most && places.next_if_eq(&(first + rows)).is_some() {
                rows += 1;
            }
            bytes.resize(rows * width * NUMBER, 0);
            file.read((first * width * NUMBER) as u64, &mut bytes)?;
            for bytes in bytes.chunks_exact(width * NUMBER) {
                row.clear();
                row.extend(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)));
                take(&row);
            }
        }
        Ok(())
    }

    /// Which of the whole the row at a place is.
    fn place(&self, place: usize) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(place).map(|place| *place as usize),
            None => Some(place).filter(|place| *place < self.whole.numbers / self.whole.width),
        }
    }
}

fn stray(values: &[f32]) -> Option<usize> {
    values.iter().position(|x| !x.is_finite())
}

/// Rows that come one after the other.
pub(super) struct Growing<'a> {
    room: Room<'a>,
    held: Vec<f32>,
    file: Option<Box<dyn Scratch>>,
    numbers: usize,
    stray: Option<usize>,
}

impl<'a> Growing<'a> {
    pub(super) fn new(room: Room<'a>) -> Self {
        Self { room, held: Vec::new(), file: None, numbers: 0, stray: None }
    }

    /// More numbers, behind those before.
    pub(super) fn add(&mut self, values: Vec<f32>) -> Result<(), Fault> {
        self.stray = self.stray.or_else(|| stray(&values).map(|at| self.numbers + at));
        self.numbers += values.len();
        let bytes = self.numbers as u64 * NUMBER as u64;
        if bytes > ROWS_BYTES_MAX {
            return Err(Fault::new(
                format!("the rows to learn from have more than {ROWS_BYTES_MAX} bytes as numbers"),
                "keep fewer columns or rows when they are ingested",
            ));
        }
        if let (None, Some(backing)) = (&self.file, self.room.backing)
            && bytes > self.room.bytes
        {
            let mut file = backing.scratch()?;
            append(file.as_mut(), &std::mem::take(&mut self.held))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => append(file.as_mut(), &values)?,
            None if self.held.is_empty() => self.held = values,
            None => {
                memory::room(values.len() * NUMBER)?;
                self.held.extend_from_slice(&values);
            }
        }
        memory::check()
    }

    /// All of them, so many numbers a row.
    pub(super) fn end(self, width: usize) -> Rows {
        let place = match self.file {
            Some(file) => Place::File(file),
            None => Place::Memory(self.held),
        };
        let Self { numbers, stray, .. } = self;
        Rows { whole: Arc::new(Whole { width: width.max(1), place, numbers, stray }), places: None }
    }
}

fn append(file: &mut dyn Scratch, values: &[f32]) -> Result<(), Fault> {
    let mut bytes = Vec::with_capacity(AT_ONCE.min(values.len() * NUMBER));
    for values in values.chunks(AT_ONCE / NUMBER) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        file.append(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::backing::tests::Cellar;
    use proptest::prelude::*;

    /// The same rows in a file, where they are given in pieces of so many numbers.
    fn filed(cellar: &Cellar, values: &[f32], width: usize, piece: usize, bytes: u64) -> Rows {
        let mut growing = Growing::new(Room { backing: Some(cellar), bytes });
        for values in values.chunks(piece) {
            growing.add(values.to_vec()).unwrap();
        }
        growing.end(width)
    }

    fn read(rows: &Rows, places: &[usize]) -> Vec<Vec<f32>> {
        let mut all = Vec::new();
        rows.each(places.iter().copied(), |row| all.push(row.to_vec())).unwrap();
        all
    }

    proptest! {
        #[test]
        fn rows_are_the_same_wherever_they_lie(
            values in prop::collection::vec(any::<f32>().prop_filter("", |x| !x.is_nan()), 0..200),
            width in 1usize..7, piece in 1usize..50, bytes in 0u64..900,
            picked in prop::collection::vec(0usize..40, 0..30),
            places in prop::collection::vec(0usize..40, 0..30),
        ) {
            let cellar = Cellar::of(Vec::new());
            let values = &values[..values.len() / width * width];
            let (held, filed) = (
                Rows::new(values.to_vec(), width),
                filed(&cellar, values, width, piece, bytes),
            );
            let is_filed = values.len() as u64 * 4 > bytes;
            prop_assert_eq!(*cellar.files.lock().unwrap(), usize::from(is_filed));
            let (few, same) = (held.pick(&picked), filed.pick(&picked));
            let pairs = [
                (few.pick(&places), same.pick(&places)),
                (few, same),
                (held, filed),
            ];
            for (a, b) in pairs {
                prop_assert_eq!(a.all().unwrap(), b.all().unwrap());
                prop_assert_eq!((a.count(), a.stray()), (b.count(), b.stray()));
                prop_assert_eq!(read(&a, &places), read(&b, &places));
                let there = places.iter().filter(|place| **place < a.count()).count();
                prop_assert_eq!(read(&a, &places).len(), there);
            }
        }
    }

    #[test]
    fn rows_that_lie_side_by_side_are_read_at_once_and_no_more_of_them_than_a_little() {
        let cellar = Cellar::of(Vec::new());
        let values: Vec<f32> = (0..100_000u32).map(|x| x as f32).collect();
        let rows = filed(&cellar, &values, 10, 777, 0);
        assert_eq!(rows.all().unwrap(), values);
        assert_eq!(
            read(&rows, &[9_999, 3, 4, 10_000]),
            [99_990u32, 30, 40]
                .map(|from| { (from..from + 10).map(|x| x as f32).collect::<Vec<_>>() })
        );
    }

    #[test]
    fn what_breaks_of_the_machine_is_no_fault_of_the_rows() {
        use crate::compute::Cause;
        let full = Cellar { most: 100, ..Cellar::of(Vec::new()) };
        let mut growing = Growing::new(Room { backing: Some(&full), bytes: 40 });
        growing.add(vec![1.0; 10]).unwrap();
        growing.add(vec![1.0; 15]).unwrap();
        assert_eq!(growing.add(vec![1.0]).unwrap_err().cause, Cause::Machine);
        let torn = Cellar { is_torn: true, ..Cellar::of(Vec::new()) };
        let rows = filed(&torn, &[1.0; 12], 3, 5, 0);
        assert_eq!(rows.all().unwrap_err().cause, Cause::Machine);
    }
}
