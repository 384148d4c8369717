//! The curves against their formulas, read literally.

use proptest::prelude::*;

use super::competing::competing;
use super::incidence::{Ending, Observation, incidence};

fn any_observations() -> impl Strategy<Value = Vec<Observation>> {
    let ending = prop::sample::select(vec![
        Ending::Event,
        Ending::Event,
        Ending::Competing,
        Ending::Censored,
    ]);
    prop::collection::vec((0_i64..12, ending), 1..30)
}

fn at_risk(observations: &[Observation], time: i64) -> f64 {
    observations.iter().filter(|(end, _)| *end >= time).count() as f64
}

fn ends(observations: &[Observation], time: i64, kinds: &[Ending]) -> f64 {
    observations.iter().filter(|(end, kind)| *end == time && kinds.contains(kind)).count() as f64
}

/// `Π (1 − d_u / n_u)` over the instants `u` before, or at, `time`.
fn survival(observations: &[Observation], times: std::ops::Range<i64>, kinds: &[Ending]) -> f64 {
    let left = times.filter(|&u| at_risk(observations, u) > 0.0);
    left.map(|u| 1.0 - ends(observations, u, kinds) / at_risk(observations, u)).product()
}

proptest! {
    #[test]
    fn incidence_is_its_formula(mut observations in any_observations(), time in 0_i64..14) {
        let original = observations.clone();
        let curve = incidence(&mut observations);
        let expected = 1.0 - survival(&original, 0..time + 1, &[Ending::Event]);
        let found = curve.at(time);
        prop_assert!((found.value - expected).abs() < 1e-12, "{} {}", found.value, expected);
        let interior = expected > 1e-12 && expected < 1.0 - 1e-12;
        prop_assert_eq!(found.interval.is_some(), interior);
        if let Some(interval) = found.interval {
            prop_assert!(interval.low <= found.value && found.value <= interval.high);
        }
        let reaches = |u: &i64| 1.0 - survival(&original, 0..u + 1, &[Ending::Event]) >= 0.5 - 1e-12;
        prop_assert_eq!(curve.median().median, (0..14).find(reaches));
    }

    #[test]
    fn competing_incidences_are_their_formulas(
        mut observations in any_observations(),
        time in 0_i64..14,
    ) {
        let original = observations.clone();
        let (found, other) = competing(&mut observations).at(time);
        let both = [Ending::Event, Ending::Competing];
        let sum = |kind: Ending| -> f64 {
            let reached = (0..=time).filter(|&u| at_risk(&original, u) > 0.0);
            reached
                .map(|u| {
                    let hazard = ends(&original, u, &[kind]) / at_risk(&original, u);
                    survival(&original, 0..u, &both) * hazard
                })
                .sum()
        };
        let expected = sum(Ending::Event);
        prop_assert!((found.value - expected).abs() < 1e-12);
        prop_assert!((other - sum(Ending::Competing)).abs() < 1e-12);
        let interior = expected > 1e-12 && expected < 1.0 - 1e-12;
        prop_assert_eq!(found.interval.is_some(), interior);
        if let Some(interval) = found.interval {
            prop_assert!(interval.low <= found.value && found.value <= interval.high);
        }
    }
}
