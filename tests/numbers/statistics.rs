//! The formulas, as they are written down.

use serde_json::{Value, json};

use super::world::SECOND;

const Z: f64 = 1.959_963_984_540_054;

/// A rate: how many of how many.
pub type Counts = (usize, usize);

fn ratio(counts: Counts) -> f64 {
    counts.0 as f64 / counts.1 as f64
}

pub fn wilson((x, n): Counts) -> (Value, Value) {
    let (low, high) = match n {
        0 => return (Value::Null, Value::Null),
        _ => wilson_limits((x, n)),
    };
    (low.into(), high.into())
}

fn wilson_limits((x, n): Counts) -> (f64, f64) {
    let (p, count) = (ratio((x, n)), n as f64);
    let middle = (p + Z * Z / (2.0 * count)) / (1.0 + Z * Z / count);
    let root = (p * (1.0 - p) / count + Z * Z / (4.0 * count * count)).sqrt();
    let half = Z * root / (1.0 + Z * Z / count);
    (if x == 0 { 0.0 } else { middle - half }, if x == n { 1.0 } else { middle + half })
}

pub fn quotient(x: usize, n: usize) -> Value {
    if n == 0 { Value::Null } else { ratio((x, n)).into() }
}

pub fn rate(counts: Counts) -> Value {
    let (low, high) = wilson(counts);
    json!({"x": counts.0, "n": counts.1, "rate": quotient(counts.0, counts.1), "low": low, "high": high})
}

/// `one` − `other` with Newcombe's interval and the pooled z-test.
pub fn difference(one: Counts, other: Counts) -> Value {
    if one.1 == 0 || other.1 == 0 {
        return json!({"difference": null, "low": null, "high": null, "z": null, "p": null});
    }
    let (p1, p2) = (ratio(one), ratio(other));
    let ((l1, u1), (l2, u2)) = (wilson_limits(one), wilson_limits(other));
    let pooled = ratio((one.0 + other.0, one.1 + other.1));
    let z = match one.0 + other.0 {
        x if x == 0 || x == one.1 + other.1 => 0.0,
        _ => {
            let spread = 1.0 / one.1 as f64 + 1.0 / other.1 as f64;
            (p1 - p2) / (pooled * (1.0 - pooled) * spread).sqrt()
        }
    };
    json!({
        "difference": p1 - p2,
        "low": p1 - p2 - ((p1 - l1).powi(2) + (u2 - p2).powi(2)).sqrt(),
        "high": p1 - p2 + ((u1 - p1).powi(2) + (p2 - l2).powi(2)).sqrt(),
        "z": z,
        "p": two_sided(z),
    })
}

/// Twice the normal tail: the series of the error function, or its continued fraction far out.
fn two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    if x < 2.5 {
        let (mut term, mut sum, mut k) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            k += 1.0;
            term *= -x * x / k;
            sum += term / (2.0 * k + 1.0);
        }
        return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum;
    }
    let fraction = (1..=200).rev().fold(0.0, |below, k| f64::from(k) / 2.0 / (x + below));
    (-x * x).exp() / std::f64::consts::PI.sqrt() / (x + fraction)
}

/// Twice the tail of Student's t for whole degrees of freedom, in closed form.
pub fn student(t: f64, degrees: usize) -> f64 {
    let angle = (t.abs() / (degrees as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    let (mut term, mut sum) = (if odd { cosine } else { 1.0 }, 0.0);
    let mut power = if odd { 1 } else { 0 };
    while power + 2 <= degrees {
        sum += term;
        term *= cosine * cosine * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    let within = match odd {
        true => 2.0 / std::f64::consts::PI * (angle + sine * sum),
        false => sine * sum,
    };
    1.0 - within
}

pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let adjusted = |&own: &f64| {
        let candidates = p.iter().filter(|&&other| other >= own).map(|&other| {
            let rank = p.iter().filter(|&&smaller| smaller <= other).count();
            other * p.len() as f64 / rank as f64
        });
        candidates.fold(1.0, f64::min)
    };
    p.iter().map(adjusted).collect()
}

/// Seconds at a share of the way through sorted durations.
pub fn quantile(durations: &[i64], share: f64) -> Value {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let Some(last) = sorted.len().checked_sub(1) else { return Value::Null };
    let place = last as f64 * share;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below] as f64, sorted[(below + 1).min(last)] as f64);
    ((low + (place - below as f64) * (high - low)) / SECOND as f64).into()
}

pub fn summary(durations: &[i64]) -> Value {
    let total: i64 = durations.iter().sum();
    let mean = match durations.len() {
        0 => Value::Null,
        n => (total as f64 / n as f64 / SECOND as f64).into(),
    };
    json!({
        "n": durations.len(), "mean": mean, "median": quantile(durations, 0.5),
        "p25": quantile(durations, 0.25), "p75": quantile(durations, 0.75),
        "p90": quantile(durations, 0.9), "p99": quantile(durations, 0.99),
    })
}

/// How watching a session ended.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    Censored,
    Reached,
    Competing,
}

/// When, and how.
pub type Watched = (i64, End);

/// The risk set and the ends of both kinds at each instant up to `until` at which something ends.
fn steps(watched: &[Watched], until: i64) -> Vec<(f64, f64, f64)> {
    let mut instants: Vec<i64> = watched
        .iter()
        .filter(|(at, end)| *end != End::Censored && *at <= until)
        .map(|watched| watched.0)
        .collect();
    instants.sort_unstable();
    instants.dedup();
    let count = |at: i64, kind: End| watched.iter().filter(|it| **it == (at, kind)).count() as f64;
    let step = |at: i64| {
        let at_risk = watched.iter().filter(|(end, _)| *end >= at).count() as f64;
        (at_risk, count(at, End::Reached), count(at, End::Competing))
    };
    instants.into_iter().map(step).collect()
}

/// Survival by `until` and the sum of Greenwood's variance.
fn survival(watched: &[Watched], until: i64) -> (f64, f64) {
    let (mut survival, mut sum) = (1.0, 0.0);
    for (at_risk, reached, _) in steps(watched, until) {
        if at_risk == reached {
            return (0.0, 0.0);
        }
        survival *= 1.0 - reached / at_risk;
        sum += reached / (at_risk * (at_risk - reached));
    }
    (survival, sum)
}

/// Log-log limits of survival; both 0 where it is 0, none where it is 1.
fn survival_limits((survival, sum): (f64, f64)) -> Option<(f64, f64)> {
    if survival == 0.0 || survival == 1.0 {
        return (survival == 0.0).then_some((0.0, 0.0));
    }
    let exponent = (Z * sum.sqrt() / survival.ln()).abs();
    Some((survival.powf(exponent.exp()), survival.powf((-exponent).exp())))
}

pub fn incidence(watched: &[Watched], within: i64) -> Value {
    let (survival, sum) = survival(watched, within);
    let limits = survival_limits((survival, sum)).filter(|_| survival > 0.0);
    json!({
        "value": 1.0 - survival,
        "low": limits.map(|(_, high)| 1.0 - high),
        "high": limits.map(|(low, _)| 1.0 - low),
    })
}

pub fn median(watched: &[Watched]) -> Value {
    let mut reached: Vec<i64> =
        watched.iter().filter(|it| it.1 == End::Reached).map(|it| it.0).collect();
    reached.sort_unstable();
    let first = |crossed: &dyn Fn((f64, f64)) -> bool| {
        let at = reached.iter().find(|&&at| crossed(survival(watched, at)));
        at.map(|&at| at as f64 / SECOND as f64)
    };
    json!({
        "median": first(&|at| at.0 <= 0.5 + 1e-12),
        "low": first(&|at| survival_limits(at).is_some_and(|limits| limits.0 <= 0.5)),
        "high": first(&|at| survival_limits(at).is_some_and(|limits| limits.1 <= 0.5)),
    })
}

/// Aalen–Johansen of reaching with its interval, and of what competes.
pub fn aalen_johansen(watched: &[Watched], within: i64) -> [Value; 4] {
    let (mut survival, mut reaching, mut competing) = (1.0_f64, 0.0, 0.0);
    let mut rows = Vec::new();
    for (at_risk, reached, lost) in steps(watched, within) {
        reaching += survival * reached / at_risk;
        competing += survival * lost / at_risk;
        rows.push((at_risk, reached, reached + lost, survival, reaching));
        survival *= 1.0 - (reached + lost) / at_risk;
        if at_risk == reached + lost {
            survival = 0.0;
        }
    }
    let mut variance = 0.0;
    for &(n, own, all, before, so_far) in &rows {
        if all < n {
            variance += (reaching - so_far).powi(2) * all / (n * (n - all));
        }
        variance += before * before * own * (n - own) / n.powi(3);
        variance -= 2.0 * (reaching - so_far) * before * own / (n * n);
    }
    let never = rows.iter().all(|row| row.1 == 0.0);
    let always = survival == 0.0 && rows.iter().all(|row| row.1 == row.2);
    let limits = (!never && !always).then(|| {
        let width = Z * variance.max(0.0).sqrt() / (reaching * reaching.ln().abs());
        (reaching.powf(width.exp()), reaching.powf((-width).exp()))
    });
    [
        reaching.into(),
        limits.map(|limits| limits.0).into(),
        limits.map(|limits| limits.1).into(),
        competing.into(),
    ]
}

/// Mann–Whitney by counting every pair.
pub fn mann_whitney(before: &[i64], after: &[i64]) -> Value {
    if before.is_empty() || after.is_empty() {
        return Value::Null;
    }
    let pairs = before.iter().flat_map(|one| after.iter().map(move |other| (one, other)));
    let u: f64 = pairs
        .map(|(one, other)| match one.cmp(other) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    let mut all = [before, after].concat();
    all.sort_unstable();
    let ties: f64 = all
        .chunk_by(|one, other| one == other)
        .map(|tie| (tie.len() as f64).powi(3) - tie.len() as f64)
        .sum();
    let (product, n) = ((before.len() * after.len()) as f64, all.len() as f64);
    let spread = (product / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)))).max(0.0).sqrt();
    let tied = all.first() == all.last();
    let z = if tied { 0.0 } else { (((u - product / 2.0).abs() - 0.5) / spread).max(0.0) };
    json!({"u": u, "z": z, "p": two_sided(z)})
}

/// Slope and p of weekly rates `(week, reached, sessions)`, weighted by sessions.
pub fn slope(points: &[(i64, usize, usize)]) -> (Option<f64>, Option<f64>) {
    if points.len() < 3 {
        return (None, None);
    }
    let sum = |value: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|&(x, r, n)| n as f64 * value(x as f64, r as f64 / n as f64)).sum()
    };
    let weight = sum(&|_, _| 1.0);
    let (x_mean, y_mean) = (sum(&|x, _| x) / weight, sum(&|_, y| y) / weight);
    let spread = sum(&|x, _| (x - x_mean).powi(2));
    let slope = sum(&|x, y| (x - x_mean) * (y - y_mean)) / spread;
    let left = sum(&|x, y| (y - y_mean - slope * (x - x_mean)).powi(2));
    let degrees = points.len() - 2;
    let t = slope / (left / degrees as f64 / spread).sqrt();
    // On one line exactly: told in whole numbers.
    let ((x0, r0, n0), (x1, r1, n1)) = (points[0], points[1]);
    let rise = |(r, n): (usize, usize)| r as i128 * n0 as i128 - r0 as i128 * n as i128;
    let straight = points.iter().all(|&(x, r, n)| {
        rise((r, n)) * i128::from(x1 - x0) * n1 as i128
            == rise((r1, n1)) * i128::from(x - x0) * n as i128
    });
    (Some(slope), (!straight).then(|| student(t, degrees)))
}
