//! Splitting a change of an overall rate into mix and rate.

use super::proportion::Proportion;

/// One group's part of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What the change of its share contributes.
    pub mix: f64,
    /// What the change of its own rate contributes.
    pub rate: f64,
}

/// Kitagawa's decomposition (1955, JASA 50:1168–1194) of the change from the first to the second
/// overall rate, one part a group; all parts together are the change.
///
/// `mix = (w₂ − w₁)((r₁ + r₂)/2 − (R₁ + R₂)/2)`, `rate = (w₁ + w₂)/2 · (r₂ − r₁)`. A group absent
/// from one period takes the other's rate. `None` where a whole period is empty.
pub fn kitagawa(groups: &[(Proportion, Proportion)]) -> Option<Vec<Part>> {
    let first: Proportion = groups.iter().map(|group| group.0).sum();
    let second: Proportion = groups.iter().map(|group| group.1).sum();
    let centre = (first.rate()? + second.rate()?) / 2.0;
    let part = |(one, two): &(Proportion, Proportion)| {
        let rate_1 = one.rate().or(two.rate()).unwrap_or(centre);
        let rate_2 = two.rate().or(one.rate()).unwrap_or(centre);
        let share_1 = one.total as f64 / first.total as f64;
        let share_2 = two.total as f64 / second.total as f64;
        Part {
            mix: (share_2 - share_1) * ((rate_1 + rate_2) / 2.0 - centre),
            rate: (share_1 + share_2) / 2.0 * (rate_2 - rate_1),
        }
    };
    Some(groups.iter().map(part).collect())
}
