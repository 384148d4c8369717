//! Comparing two samples by rank.

use super::distribution::normal_two_sided;

/// Result of a Mann–Whitney test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// U of the first sample.
    pub u: f64,
    /// Distance of U from its mean in standard deviations, continuity-corrected, never below 0.
    pub z: f64,
    /// Two-sided p-value.
    pub p: f64,
}

/// Mann–Whitney's test of a shift between two samples (1947), asymptotic, two-sided, with
/// correction for ties and continuity as in `scipy.stats.mannwhitneyu(method="asymptotic")`.
/// `None` where either sample is empty.
pub fn mann_whitney(first: &[i64], second: &[i64]) -> Option<MannWhitney> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let mut pooled: Vec<(i64, bool)> = first.iter().map(|&value| (value, true)).collect();
    pooled.extend(second.iter().map(|&value| (value, false)));
    // Stable, as it makes use of samples that are sorted already.
    pooled.sort();
    let (mut doubled_ranks, mut ties, mut before) = (0_u128, 0_u128, 0_u128);
    for group in pooled.chunk_by(|one, other| one.0 == other.0) {
        let size = group.len() as u128;
        let mine = group.iter().filter(|(_, is_first)| *is_first).count() as u128;
        doubled_ranks += mine * (2 * before + size + 1);
        ties += size * size * size - size;
        before += size;
    }
    let (n1, n2) = (first.len() as u128, second.len() as u128);
    let doubled_u = doubled_ranks - n1 * (n1 + 1);
    let distance = doubled_u.abs_diff(n1 * n2) as f64 / 2.0;
    let n = (n1 + n2) as f64;
    let spread = (n + 1.0) - ties as f64 / (n * (n - 1.0));
    let deviation = ((n1 * n2) as f64 / 12.0 * spread).sqrt();
    let z = if deviation > 0.0 { ((distance - 0.5) / deviation).max(0.0) } else { 0.0 };
    Some(MannWhitney { u: doubled_u as f64 / 2.0, z, p: normal_two_sided(z) })
}
