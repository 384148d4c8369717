//! How many sessions reached each stage.

use super::{Basis, Population};

/// Masks that are counted at once.
const BATCH: usize = 8_192;

/// How many sessions there are on a basis, and how many reached each stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub sessions: u64,
    pub reached: Vec<u64>,
}

impl Counts {
    pub fn none(stages: usize) -> Counts {
        Counts { sessions: 0, reached: vec![0; stages] }
    }

    pub(in crate::metrics) fn of(population: &Population, basis: Basis) -> Counts {
        Counts::of_masks(population.stages(), basis.masks(population))
    }

    /// Of sessions by the stages that each reached.
    pub(in crate::metrics) fn of_masks(stages: usize, masks: &[u32]) -> Counts {
        let mut counts = Counts::none(stages);
        // A batch of them stays in the cache from stage to stage.
        masks.chunks(BATCH).for_each(|batch| counts.add_masks(batch));
        counts
    }

    /// How many sessions of a basis reached each stage up to now, be it within the horizon or not.
    pub(in crate::metrics) fn up_to_now(population: &Population, basis: Basis) -> Counts {
        let mut counts = Counts::none(population.stages());
        let held = basis.masks(population).chunks(BATCH);
        let mut masks = Vec::with_capacity(BATCH);
        for (reached, held) in population.reached.chunks(BATCH).zip(held) {
            masks.clear();
            masks.extend(reached.iter().zip(held).map(|(reached, held)| reached * (held & 1)));
            counts.add_masks(&masks);
        }
        counts
    }

    pub(in crate::metrics) fn add(&mut self, population: &Population, row: usize, basis: Basis) {
        self.add_mask(basis.mask(population, row));
    }

    /// Adds a session by the stages that it reached; one without the first does not count.
    pub fn add_mask(&mut self, mask: u32) {
        self.sessions += u64::from(mask & 1);
        for (stage, reached) in self.reached.iter_mut().enumerate() {
            *reached += u64::from(mask >> stage & 1);
        }
    }

    /// Adds sessions as [`Self::add_mask`] does, stage by stage: many masks at once.
    pub fn add_masks(&mut self, masks: &[u32]) {
        let having = |stage: usize| masks.iter().map(|mask| mask >> stage & 1).sum::<u32>();
        self.sessions += u64::from(having(0));
        for (stage, reached) in self.reached.iter_mut().enumerate() {
            *reached += u64::from(having(stage));
        }
    }

    /// Adds the sessions of another count.
    pub fn append(&mut self, other: &Counts) {
        self.sessions += other.sessions;
        self.reached.iter_mut().zip(&other.reached).for_each(|(count, more)| *count += more);
    }
}
