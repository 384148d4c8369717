//! Straight line through weekly proportions.

use super::distribution::student_two_sided;

/// One point: `reached` of `total` at the whole number `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Where it lies, e.g. a week's number.
    pub position: i64,
    /// How many did.
    pub reached: u64,
    /// Of how many; also the weight of the point. Greater than 0.
    pub total: u64,
}

/// A fitted slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Change of the proportion per unit of position.
    pub slope: f64,
    /// Two-sided p-value of Student's t with m − 2 degrees of freedom; `None` where the points lie
    /// on the line exactly.
    pub p: Option<f64>,
}

/// Weighted least squares of the proportions on their positions, weight = `total`, with the
/// dispersion estimated (Weisberg 2005, Applied Linear Regression, ch. 5). `None` with fewer than
/// three points or only one position.
///
/// The weighted proportions are the counts themselves, so that slope and residuals are computed in
/// whole numbers, and an exact fit is known to be exact. Positions are few thousand apart at most.
pub fn weighted_slope(points: &[Point]) -> Option<Slope> {
    if points.len() < 3 {
        return None;
    }
    let origin = points.iter().map(|point| point.position).min()?;
    let rows: Vec<(i128, i128, i128)> = points
        .iter()
        .map(|p| (i128::from(p.position - origin), i128::from(p.reached), i128::from(p.total)))
        .collect();
    let sum = |term: fn(&(i128, i128, i128)) -> i128| rows.iter().map(term).sum::<i128>();
    let weight = sum(|(_, _, n)| *n);
    let (sum_t, sum_x) = (sum(|(t, _, n)| n * t), sum(|(_, x, _)| *x));
    let (sum_tt, sum_tx) = (sum(|(t, _, n)| n * t * t), sum(|(t, x, _)| x * t));
    let spread = weight * sum_tt - sum_t * sum_t;
    if spread == 0 {
        return None;
    }
    let rise = weight * sum_tx - sum_t * sum_x;
    let base = sum_x * spread - rise * sum_t;
    // Residual of a point: x/n − (base + rise·weight·t) / (weight·spread), over one denominator.
    let scatter = |&(t, x, n): &(i128, i128, i128)| {
        let numerator = x * weight * spread - n * (base + rise * weight * t);
        let residual = numerator as f64 / (n as f64 * weight as f64 * spread as f64);
        n as f64 * residual * residual
    };
    let scatter: f64 = rows.iter().map(scatter).sum();
    let slope = rise as f64 / spread as f64;
    let p = (scatter > 0.0).then(|| {
        let degrees = (points.len() - 2) as f64;
        let deviation = (scatter / degrees / (spread as f64 / weight as f64)).sqrt();
        student_two_sided(slope / deviation, degrees)
    });
    Some(Slope { slope, p })
}
