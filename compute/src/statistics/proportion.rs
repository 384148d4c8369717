//! Proportions: an interval for one, an interval and a test for the difference of two.

use std::iter::Sum;

use super::Z_95;
use super::distribution::normal_two_sided;

/// `reached` of `total`; a rate only where `total` is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proportion {
    /// How many did.
    pub reached: u64,
    /// Of how many.
    pub total: u64,
}

/// Lower and upper limit of a 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

/// A difference of two proportions with its interval and test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The first minus the second.
    pub difference: f64,
    /// Newcombe's interval.
    pub interval: Interval,
    /// Statistic of the pooled test.
    pub z: f64,
    /// Its two-sided p-value.
    pub p: f64,
}

impl Sum for Proportion {
    fn sum<I: Iterator<Item = Proportion>>(parts: I) -> Proportion {
        parts.fold(Proportion::default(), |sum, part| {
            Proportion::new(sum.reached + part.reached, sum.total + part.total)
        })
    }
}

impl Proportion {
    /// `reached` of `total`.
    pub fn new(reached: u64, total: u64) -> Proportion {
        Proportion { reached, total }
    }

    /// The rate; `None` of nothing.
    pub fn rate(self) -> Option<f64> {
        (self.total > 0).then(|| self.reached as f64 / self.total as f64)
    }

    /// Wilson's score interval without continuity correction (Wilson 1927), its limits exactly 0
    /// where none did and exactly 1 where all did; `None` of nothing.
    pub fn wilson(self) -> Option<Interval> {
        let p = self.rate()?;
        let n = self.total as f64;
        let z2 = Z_95 * Z_95;
        let scale = 1.0 + z2 / n;
        let centre = (p + z2 / (2.0 * n)) / scale;
        let half = Z_95 / scale * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let low = if self.reached == 0 { 0.0 } else { centre - half };
        let high = if self.reached == self.total { 1.0 } else { centre + half };
        Some(Interval { low, high })
    }

    /// This minus `other`: interval by Newcombe's method 10 (Newcombe 1998, Statistics in Medicine
    /// 17:873–890, square-and-add of two Wilson intervals), pooled two-sided z-test without
    /// continuity correction (z = 0, p = 1 where none or all did on both sides). `None` where
    /// either is of nothing.
    pub fn minus(self, other: Proportion) -> Option<Difference> {
        let (p1, p2) = (self.rate()?, other.rate()?);
        let (i1, i2) = (self.wilson()?, other.wilson()?);
        let difference = p1 - p2;
        let interval = Interval {
            low: difference - (p1 - i1.low).hypot(i2.high - p2),
            high: difference + (i1.high - p1).hypot(p2 - i2.low),
        };
        let (n1, n2) = (self.total as f64, other.total as f64);
        let reached = self.reached + other.reached;
        if reached == 0 || reached == self.total + other.total {
            return Some(Difference { difference, interval, z: 0.0, p: 1.0 });
        }
        let pooled = reached as f64 / (n1 + n2);
        let z = difference / (pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2)).sqrt();
        Some(Difference { difference, interval, z, p: normal_two_sided(z) })
    }
}
