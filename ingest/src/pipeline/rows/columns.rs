//! Builders of columns most of whose values are missing or were seen before.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, ArrowPrimitiveType, BooleanBuilder, DictionaryArray, Int32Array,
    NullBufferBuilder, PrimitiveArray, StringBuilder, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64;

/// Days.
pub type Dates = Numbers<Date32Type>;
/// Whole numbers.
pub type Integers = Numbers<Int64Type>;
/// Numbers.
pub type Floats = Numbers<Float64Type>;
/// Truth values.
pub type Flags = BooleanBuilder;
/// Texts of which few repeat.
pub type Texts = StringBuilder;

/// Numbers of any kind. Arrow's own builder is a call for every value.
#[derive(Debug)]
pub struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn finish(&mut self) -> PrimitiveArray<T> {
        PrimitiveArray::new(std::mem::take(&mut self.values).into(), self.nulls.finish())
    }
}

/// The key of a value that is missing.
const MISSING: i32 = -1;
/// Labels that are found without a hash.
const RECENT: usize = 32;

/// Texts of which most repeat: each is kept once.
#[derive(Debug, Default)]
pub struct Labels {
    keys: Vec<i32>,
    values: StringBuilder,
    /// The keys by what they stand for.
    known: HashTable<i32>,
    /// The keys that were met last, each where a few bytes of its text lead.
    recent: [i32; RECENT],
}

impl Labels {
    fn text(values: &StringBuilder, key: i32) -> &[u8] {
        let ends = values.offsets_slice();
        &values.values_slice()[ends[key as usize] as usize..ends[key as usize + 1] as usize]
    }

    /// The key of a text, which gets one if it has none.
    fn key(&mut self, value: &str) -> i32 {
        let Self { values, known, .. } = self;
        let slot = known.entry(
            xxh3_64(value.as_bytes()),
            |&key| Self::text(values, key) == value.as_bytes(),
            |&key| xxh3_64(Self::text(values, key)),
        );
        match slot {
            Entry::Occupied(slot) => *slot.get(),
            Entry::Vacant(slot) => {
                let key = values.rows() as i32;
                slot.insert(key);
                values.append_value(value);
                key
            }
        }
    }
}

/// Where a text is looked for first: most labels of a column differ in their length, middle or end.
fn recent_place(text: &[u8]) -> usize {
    let byte = |at: usize| text.get(at).map_or(0, |byte| usize::from(*byte));
    let length = text.len();
    (length + 3 * byte(length / 2) + 5 * byte(length.wrapping_sub(1))) % RECENT
}

/// Instants, microseconds UTC.
#[derive(Debug, Default)]
pub struct Instants(Numbers<TimestampMicrosecondType>);

/// A builder whose missing values are filled in when the next one that is there arrives.
pub trait Column: Default {
    /// What one value is given as.
    type Value<'a>;

    /// Values so far, nulls included.
    fn rows(&self) -> usize;

    /// Appends so many nulls.
    fn nulls(&mut self, count: usize);

    /// Appends a value.
    fn value(&mut self, value: Self::Value<'_>);

    /// Everything appended; the builder is empty afterwards.
    fn array(&mut self) -> ArrayRef;

    /// An empty builder with room for as much as this one holds.
    fn renewed(&self) -> Self;
}

/// Sets the value of a row, behind those that were set before.
pub fn set<C: Column>(column: &mut C, row: usize, value: Option<C::Value<'_>>) {
    if let Some(value) = value {
        let missing = row - column.rows();
        if missing > 0 {
            column.nulls(missing);
        }
        column.value(value);
    }
}

/// The column of so many rows.
pub fn finish<C: Column>(column: &mut C, rows: usize) -> ArrayRef {
    let missing = rows - column.rows();
    if missing == rows {
        return new_null_array(column.array().data_type(), rows);
    }
    column.nulls(missing);
    column.array()
}

impl<T: ArrowPrimitiveType> Column for Numbers<T> {
    type Value<'a> = T::Native;

    fn rows(&self) -> usize {
        self.values.len()
    }

    fn nulls(&mut self, count: usize) {
        self.values.resize(self.values.len() + count, T::Native::default());
        self.nulls.append_n_nulls(count);
    }

    fn value(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    fn array(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }

    fn renewed(&self) -> Self {
        let rows = self.values.len();
        Self { values: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }
}

impl Column for Instants {
    type Value<'a> = i64;

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn nulls(&mut self, count: usize) {
        self.0.nulls(count);
    }

    fn value(&mut self, value: i64) {
        self.0.value(value);
    }

    fn array(&mut self) -> ArrayRef {
        Arc::new(self.0.finish().with_timezone("UTC"))
    }

    fn renewed(&self) -> Self {
        Self(self.0.renewed())
    }
}

impl Column for Flags {
    type Value<'a> = bool;

    fn rows(&self) -> usize {
        self.len()
    }

    fn nulls(&mut self, count: usize) {
        self.append_nulls(count);
    }

    fn value(&mut self, value: bool) {
        self.append_value(value);
    }

    fn array(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }

    fn renewed(&self) -> Self {
        Self::with_capacity(self.len())
    }
}

impl Column for Texts {
    type Value<'a> = &'a str;

    // The builder's own `len` is no part of this crate, so it cannot be inlined, and it is asked for every value.
    fn rows(&self) -> usize {
        self.offsets_slice().len() - 1
    }

    fn nulls(&mut self, count: usize) {
        self.append_nulls(count);
    }

    fn value(&mut self, value: &str) {
        self.append_value(value);
    }

    fn array(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }

    fn renewed(&self) -> Self {
        Self::with_capacity(self.len(), self.values_slice().len())
    }
}

impl Column for Labels {
    type Value<'a> = &'a str;

    fn rows(&self) -> usize {
        self.keys.len()
    }

    fn nulls(&mut self, count: usize) {
        self.keys.resize(self.keys.len() + count, MISSING);
    }

    fn value(&mut self, value: &str) {
        let place = recent_place(value.as_bytes());
        let recent = self.recent[place];
        let is_it = (recent as usize) < self.values.rows()
            && Self::text(&self.values, recent) == value.as_bytes();
        let key = if is_it { recent } else { self.key(value) };
        self.recent[place] = key;
        self.keys.push(key);
    }

    fn array(&mut self) -> ArrayRef {
        self.known.clear();
        let keys = std::mem::take(&mut self.keys);
        let nulls =
            NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), |row| keys[row] != MISSING));
        let keys = Int32Array::new(keys.into(), Some(nulls).filter(|nulls| nulls.null_count() > 0));
        Arc::new(DictionaryArray::new(keys, Arc::new(self.values.finish())))
    }

    fn renewed(&self) -> Self {
        Self { keys: Vec::with_capacity(self.keys.len()), ..Self::default() }
    }
}
