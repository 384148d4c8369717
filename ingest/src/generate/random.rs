//! Chance in whole numbers only: no floating point, so that the bytes are the same on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of chance.
pub struct Random(ChaCha8Rng);

/// A distribution by its quantiles at 0, 10, 25, 50, 75, 90, 99 and 100 %, linear between them.
pub type Quantiles = [u64; 8];

/// Where the quantiles lie, in 1/10,000.
const LEVELS: [u64; 8] = [0, 1_000, 2_500, 5_000, 7_500, 9_000, 9_900, 10_000];

impl Random {
    /// The source that these numbers name.
    pub fn new(names: [u64; 4]) -> Self {
        let mut seed = [0; 32];
        for (part, name) in seed.chunks_exact_mut(8).zip(names) {
            part.copy_from_slice(&name.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// A whole number below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// True with a probability of `per_10_000`/10,000.
    pub fn chance(&mut self, per_10_000: i64) -> bool {
        (u64::from(self.0.next_u32()) * 10_000) >> 32 < per_10_000.max(0) as u64
    }

    /// The index of one of `weights`, each as likely as it weighs.
    pub fn pick(&mut self, weights: &[u32]) -> u8 {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut left = self.below(total);
        for (index, &weight) in weights.iter().enumerate() {
            if left < u64::from(weight) {
                return index as u8;
            }
            left -= u64::from(weight);
        }
        unreachable!("the number drawn is below the sum of the weights")
    }

    /// A draw from a distribution given by its quantiles.
    pub fn draw(&mut self, quantiles: &Quantiles) -> u64 {
        let level = self.below(10_000 << 16);
        let upper = LEVELS.iter().position(|&end| level < end << 16).unwrap_or(7).max(1);
        let (from, to) = (LEVELS[upper - 1] << 16, LEVELS[upper] << 16);
        let (low, high) = (quantiles[upper - 1], quantiles[upper]);
        low + ((u128::from(high - low) * u128::from(level - from)) / u128::from(to - from)) as u64
    }

    /// 128 random bits.
    pub fn id(&mut self) -> u128 {
        u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_meet_their_quantiles() {
        let quantiles: Quantiles = [0, 10, 20, 40, 80, 160, 640, 1_000];
        let mut random = Random::new([3, 0, 0, 0]);
        let mut drawn: Vec<u64> = (0..20_000).map(|_| random.draw(&quantiles)).collect();
        drawn.sort_unstable();
        for (level, expected) in [(1_000, 10), (2_500, 20), (5_000, 40), (7_500, 80), (9_000, 160)]
        {
            let found = drawn[level * 2];
            assert!(found.abs_diff(expected) * 10 <= expected, "{level}: {found} for {expected}");
        }
        assert!(drawn[19_999] <= 1_000);
    }

    #[test]
    fn weights_and_chances_are_kept() {
        let mut random = Random::new([5, 0, 0, 0]);
        let mut counts = [0_u32; 3];
        let mut heads = 0;
        for _ in 0..10_000 {
            counts[usize::from(random.pick(&[5, 3, 2]))] += 1;
            heads += u32::from(random.chance(2_500));
        }
        assert!(counts[0].abs_diff(5_000) < 200 && counts[2].abs_diff(2_000) < 200, "{counts:?}");
        assert!(heads.abs_diff(2_500) < 200, "{heads}");
    }
}
