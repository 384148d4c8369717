//! The curves against their formulas, read literally.

use proptest::prelude::*;

use super::Z_95;
use super::competing::{competing, steps as competing_steps};
use super::incidence::{incidence, steps};
use super::risk::Watched;

/// How one subject's watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Event,
    Competing,
    Censored,
}

/// One subject: how long it was watched, and how that ended.
pub(super) type Observation = (i64, Ending);

/// Observations by how they ended, each list sorted.
#[derive(Default)]
pub(super) struct Sorted {
    events: Vec<i64>,
    competing: Vec<i64>,
    censored: Vec<i64>,
    not_events: Vec<i64>,
}

impl Sorted {
    pub(super) fn of(observations: &[Observation]) -> Sorted {
        let times = |kinds: &[Ending]| {
            let ended = observations.iter().filter(|(_, kind)| kinds.contains(kind));
            let mut times: Vec<i64> = ended.map(|(time, _)| *time).collect();
            times.sort_unstable();
            times
        };
        Sorted {
            events: times(&[Ending::Event]),
            competing: times(&[Ending::Competing]),
            censored: times(&[Ending::Censored]),
            not_events: times(&[Ending::Competing, Ending::Censored]),
        }
    }

    /// Everything but an event censors.
    pub(super) fn watched(&self) -> Watched<'_> {
        Watched { events: &self.events, competing: &[], censored: &self.not_events }
    }

    pub(super) fn competed(&self) -> Watched<'_> {
        let Sorted { events, competing, censored, .. } = self;
        Watched { events, competing, censored }
    }
}

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
    fn incidence_is_its_formula(original in any_observations(), time in 0_i64..14) {
        let sorted = Sorted::of(&original);
        let curve = incidence(sorted.watched(), &[time]);
        let expected = 1.0 - survival(&original, 0..time + 1, &[Ending::Event]);
        let found = curve.at[0];
        prop_assert!((found.value - expected).abs() < 1e-12, "{} {}", found.value, expected);
        let interior = expected > 1e-12 && expected < 1.0 - 1e-12;
        prop_assert_eq!(found.interval.is_some(), interior);
        if let Some(interval) = found.interval {
            prop_assert!(interval.low <= found.value && found.value <= interval.high);
        }
        let reaches = |u: &i64| 1.0 - survival(&original, 0..u + 1, &[Ending::Event]) >= 0.5 - 1e-12;
        prop_assert_eq!(curve.median.median, (0..14).find(reaches));
        let first = |is: &dyn Fn(f64, f64) -> bool| {
            let limits = |step: &super::incidence::Step| {
                let interval = step.level.estimate().interval;
                interval.map_or((1.0, 1.0), |interval| (interval.low, interval.high))
            };
            let mut all = steps(sorted.watched()).map(|step| (step.time, limits(&step)));
            all.find(|&(_, (low, high))| is(low, high)).map(|(time, _)| time)
        };
        prop_assert_eq!(curve.median.low, first(&|_, high| high >= 0.5 - 1e-12));
        prop_assert_eq!(curve.median.high, first(&|low, _| low >= 0.5 - 1e-12));
    }

    #[test]
    fn competing_incidences_are_their_formulas(
        original in any_observations(),
        time in 0_i64..14,
    ) {
        let (found, other) = competing(Sorted::of(&original).competed(), &[time])[0];
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

/// Steps that a bound rules out are not looked at: with many subjects that is nearly all of them.
#[test]
fn the_ends_of_a_median_are_found_among_many_steps() {
    for (subjects, censored_from) in [(40, 20), (3_000, 900), (20_000, 9_000), (20_000, 20_000)] {
        let observation = |subject: i64| {
            let ending = if subject % 7 == 0 { Ending::Censored } else { Ending::Event };
            (subject * 7_919 % censored_from + subject % 3, ending)
        };
        let observations: Vec<Observation> = (0..subjects).map(observation).collect();
        let sorted = Sorted::of(&observations);
        let found = incidence(sorted.watched(), &[]).median;
        let ends = |pick: fn(super::proportion::Interval) -> f64| {
            let reaches = |step: &super::incidence::Step| {
                step.level.estimate().interval.is_none_or(|it| pick(it) >= 0.5 - 1e-12)
            };
            steps(sorted.watched()).find(reaches).map(|step| step.time)
        };
        assert_eq!((found.low, found.high), (ends(|it| it.high), ends(|it| it.low)));
        assert!(found.low.is_some() && found.low < found.high, "{subjects}");
    }
}

#[test]
fn variances_are_their_sum_over_the_steps() {
    let subjects = 30_000;
    let observation = |subject: i64| {
        let ending = match subject % 11 {
            0 => Ending::Censored,
            1..4 => Ending::Competing,
            _ => Ending::Event,
        };
        // Long runs of one kind first, all kinds in turns later.
        let shift = if ending == Ending::Event { 0 } else { 4_000 };
        (subject * 7_919 % 9_973 + shift, ending)
    };
    let observations: Vec<Observation> = (0..subjects).map(observation).collect();
    let sorted = Sorted::of(&observations);
    let times = [500, 3_000, 5_000, 9_000, 20_000];
    let found = competing(sorted.competed(), &times);
    for (&time, (estimate, _)) in times.iter().zip(&found) {
        let steps = competing_steps(sorted.competed()).take_while(|step| step.time <= time);
        let end = steps.last().map_or(0.0, |step| step.incidence);
        let (mut survival, mut incidence, mut variance) = (1.0, 0.0, 0.0);
        for group in sorted.competed().groups().take_while(|group| group.time <= time) {
            let (n, d1) = (group.at_risk as f64, group.events as f64);
            let d = d1 + group.competing as f64;
            incidence += survival * d1 / n;
            let ahead: f64 = end - incidence;
            if d < n {
                variance += ahead.powi(2) * d / (n * (n - d));
            }
            variance += survival * survival * d1 * (n - d1) / n.powi(3);
            variance -= 2.0 * ahead * survival * d1 / (n * n);
            survival *= (n - d) / n;
        }
        assert!((estimate.value - end).abs() < 1e-13);
        let spread = Z_95 * variance.sqrt() / (end * end.ln().abs());
        let interval = estimate.interval.expect("it lies between 0 and 1");
        assert!((interval.low / end.powf(spread.exp()) - 1.0).abs() < 1e-11, "{time}");
        assert!((interval.high / end.powf((-spread).exp()) - 1.0).abs() < 1e-11, "{time}");
    }
}
