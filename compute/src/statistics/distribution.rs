//! Tail probabilities.

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

/// Two-sided p-value of a standard normal statistic: `erfc(|z| / √2)`, exact far into the tail.
pub fn normal_two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// Two-sided p-value of Student's t with `degrees` > 0 degrees of freedom.
///
/// `I_x(ν/2, 1/2)` at `x = ν / (ν + t²)`: Abramowitz and Stegun 1964, 26.7.1 with 26.5.27.
pub fn student_two_sided(t: f64, degrees: f64) -> f64 {
    let x = degrees / (degrees + t * t);
    beta_reg(degrees / 2.0, 0.5, x.clamp(0.0, 1.0))
}
