//! Builders of columns most of whose values are missing or were seen before.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, ArrowPrimitiveType, BooleanBuilder, DictionaryArray,
    PrimitiveArray, PrimitiveBuilder, StringBuilder, new_null_array,
};
use arrow::datatypes::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64;

/// Days.
pub type Dates = PrimitiveBuilder<Date32Type>;
/// Whole numbers.
pub type Integers = PrimitiveBuilder<Int64Type>;
/// Numbers.
pub type Floats = PrimitiveBuilder<Float64Type>;
/// Truth values.
pub type Flags = BooleanBuilder;
/// Texts of which few repeat.
pub type Texts = StringBuilder;

/// Texts of which most repeat: each is kept once.
#[derive(Debug, Default)]
pub struct Labels {
    keys: PrimitiveBuilder<Int32Type>,
    values: StringBuilder,
    /// The keys by what they stand for.
    known: HashTable<i32>,
}

impl Labels {
    fn text(values: &StringBuilder, key: i32) -> &[u8] {
        let ends = values.offsets_slice();
        &values.values_slice()[ends[key as usize] as usize..ends[key as usize + 1] as usize]
    }
}

/// Instants, microseconds UTC.
#[derive(Debug, Default)]
pub struct Instants(PrimitiveBuilder<TimestampMicrosecondType>);

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

// Rows are counted by the values, nulls among them: the builders' own `len` counts validity and is no part of
// this crate, so it cannot be inlined, and it is asked for every value.
impl<T: ArrowPrimitiveType> Column for PrimitiveBuilder<T> {
    type Value<'a> = T::Native;

    fn rows(&self) -> usize {
        self.values_slice().len()
    }

    fn nulls(&mut self, count: usize) {
        self.append_nulls(count);
    }

    fn value(&mut self, value: T::Native) {
        self.append_value(value);
    }

    fn array(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }

    fn renewed(&self) -> Self {
        Self::with_capacity(self.len())
    }
}

impl Column for Instants {
    type Value<'a> = i64;

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn nulls(&mut self, count: usize) {
        self.0.append_nulls(count);
    }

    fn value(&mut self, value: i64) {
        self.0.append_value(value);
    }

    fn array(&mut self) -> ArrayRef {
        let instants: PrimitiveArray<TimestampMicrosecondType> = self.0.finish();
        Arc::new(instants.with_timezone("UTC"))
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
        self.keys.rows()
    }

    fn nulls(&mut self, count: usize) {
        self.keys.append_nulls(count);
    }

    fn value(&mut self, value: &str) {
        let Self { keys, values, known } = self;
        // A run of one value, as of the partition that is read, needs no hash. A null has key 0, which at worst
        // is another value.
        if let Some(&last) = keys.values_slice().last()
            && (last as usize) < values.rows()
            && Self::text(values, last) == value.as_bytes()
        {
            keys.append_value(last);
            return;
        }
        let slot = known.entry(
            xxh3_64(value.as_bytes()),
            |&key| Self::text(values, key) == value.as_bytes(),
            |&key| xxh3_64(Self::text(values, key)),
        );
        let key = match slot {
            Entry::Occupied(slot) => *slot.get(),
            Entry::Vacant(slot) => {
                let key = values.len() as i32;
                slot.insert(key);
                values.append_value(value);
                key
            }
        };
        keys.append_value(key);
    }

    fn array(&mut self) -> ArrayRef {
        self.known.clear();
        Arc::new(DictionaryArray::new(self.keys.finish(), Arc::new(self.values.finish())))
    }

    fn renewed(&self) -> Self {
        Self { keys: self.keys.renewed(), ..Self::default() }
    }
}
