//! Texts that many rows share, as numbers.

use std::sync::Arc;

use hashbrown::HashMap;

use super::population::Groups;

/// Marks a row without a text.
const NONE: u32 = u32::MAX;

/// A column of texts, each distinct one kept once: 4 bytes a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labelled {
    known: HashMap<Arc<str>, u32>,
    labels: Vec<Arc<str>>,
    of_row: Vec<u32>,
}

impl PartialEq for Labelled {
    fn eq(&self, other: &Self) -> bool {
        let rows = |it: &Self| it.of_row.len();
        rows(self) == rows(other) && (0..rows(self)).all(|row| self.get(row) == other.get(row))
    }
}

impl Labelled {
    pub fn with_capacity(rows: usize) -> Labelled {
        Labelled { of_row: Vec::with_capacity(rows), ..Labelled::default() }
    }

    /// Adds a row.
    pub fn push(&mut self, text: Option<&str>) {
        let label = text.map_or(NONE, |text| self.label(text));
        self.of_row.push(label);
    }

    fn label(&mut self, text: &str) -> u32 {
        if let Some(&known) = self.known.get(text) {
            return known;
        }
        let (text, label) = (Arc::<str>::from(text), self.labels.len() as u32);
        self.labels.push(Arc::clone(&text));
        self.known.insert(text, label);
        label
    }

    /// Takes in the rows of another column.
    pub fn append(&mut self, other: &Labelled) {
        let here: Vec<u32> = other.labels.iter().map(|text| self.label(text)).collect();
        let row = |&label: &u32| here.get(label as usize).copied().unwrap_or(NONE);
        self.of_row.extend(other.of_row.iter().map(row));
    }

    pub fn get(&self, row: usize) -> Option<&str> {
        self.labels.get(self.of_row[row] as usize).map(|text| &**text)
    }

    /// The texts by their numbers.
    pub fn texts(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The number of the text of a row that has one.
    pub fn number(&self, row: usize) -> u32 {
        self.of_row[row]
    }

    /// Whether no row has a text.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The texts with the number of rows that have each, in no order.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut counts = vec![0; self.labels.len()];
        for &label in self.of_row.iter().filter(|&&label| label != NONE) {
            counts[label as usize] += 1;
        }
        self.labels.iter().map(|text| &**text).zip(counts)
    }

    pub(super) fn groups(&self) -> Groups<'_> {
        let mut order: Vec<u32> = (0..self.labels.len() as u32).collect();
        order.sort_unstable_by_key(|&label| &self.labels[label as usize]);
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &label)| rank[label as usize] = place);
        let missing = self.of_row.contains(&NONE);
        let values = order.iter().map(|&label| Some(&*self.labels[label as usize]));
        Groups {
            values: values.chain(missing.then_some(None)).collect(),
            of_row: self
                .of_row
                .iter()
                .map(|&label| rank.get(label as usize).copied().unwrap_or(order.len()))
                .collect(),
        }
    }
}
