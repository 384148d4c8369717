//! The figures of a report that take long, computed side by side.

use super::analysis::Analysis;
use super::cohorts::Cohort;
use super::comparison::{Comparison, Frame, Side, comparison};
use super::drop_off::{DropOff, drop_off};
use super::funnel_trend::{FunnelTrend, funnel_trend};
use super::histogram::{TimeToConvert, time_to_convert};
use super::leaving::{Dwell, Leaving, Reason, leaving, reasons};
use super::parallel::{self, Job};
use super::population::Shape;
use super::segments::Segments;
use super::times::{Durations, StageTimes, stage_times};

/// Figures over the sessions of a report, each by passes of its own over them.
#[derive(Default)]
pub(super) struct Figures {
    /// By stage.
    pub times: Vec<Option<StageTimes>>,
    /// By step.
    pub leaving: Vec<Leaving>,
    pub drop_off: DropOff,
    pub cohorts: Vec<Cohort>,
    pub time_to_convert: TimeToConvert,
    pub funnel_trend: Option<FunnelTrend>,
    pub reasons: Vec<Reason>,
    pub segments: Option<Segments>,
    pub comparison: Option<Comparison>,
}

impl Figures {
    /// Computes them.
    pub fn of(analysis: &Analysis<'_>) -> Figures {
        let Analysis { request, shape, .. } = analysis;
        let (population, hours) = (analysis.population(), analysis.hours());
        let mut figures = Figures {
            times: (0..shape.count()).map(|_| None).collect(),
            leaving: shape.steps().map(|_| Leaving::default()).collect(),
            ..Figures::default()
        };
        let mut jobs: Vec<Job> = Vec::new();
        // The longest first.
        for (stage, times) in figures.times.iter_mut().enumerate() {
            let (as_of, curves) = (request.as_of, request.curves);
            jobs.push(Box::new(move || {
                *times = stage_times(population, shape, stage, as_of, curves);
            }));
        }
        jobs.push(Box::new(|| figures.comparison = compare(analysis)));
        jobs.push(Box::new(|| figures.cohorts = analysis.cohorts()));
        for (step, left) in shape.steps().zip(&mut figures.leaving) {
            let hours = &hours;
            jobs.push(Box::new(move || *left = leaving(population, step, hours)));
        }
        jobs.push(Box::new(|| figures.segments = analysis.segments()));
        jobs.push(Box::new(|| {
            figures.drop_off = drop_off(population, shape, &request.thresholds);
        }));
        jobs.push(Box::new(|| {
            let ends = request.convert.map_or((0, shape.last()), |(from, to)| (from - 1, to - 1));
            figures.time_to_convert = time_to_convert(population, shape, ends);
        }));
        jobs.push(Box::new(|| {
            let unit = request.funnel_trend;
            figures.funnel_trend = unit.map(|unit| funnel_trend(population, shape, request, unit));
        }));
        jobs.push(Box::new(|| figures.reasons = reasons(population)));
        parallel::run(jobs);
        figures
    }

    /// How long sessions stay at each stage that is followed by a required one.
    pub fn dwell(&self, shape: &Shape) -> Vec<Dwell> {
        // To pass on is to reach the next stage.
        let passed = |next: usize| self.times[next].as_ref().map(|times| times.step);
        let passed = shape.steps().map(|(_, next)| passed(next).unwrap_or_default());
        dwell(shape, &self.leaving, passed)
    }
}

/// How long sessions stay at each stage that is followed by a required one, by how its sessions leave it
/// and how long those took that passed on.
pub(super) fn dwell(
    shape: &Shape,
    leaving: &[Leaving],
    passed: impl IntoIterator<Item = Durations>,
) -> Vec<Dwell> {
    let stage = |(((stage, _), leaving), passed): (((usize, usize), &Leaving), Durations)| Dwell {
        stage: stage + 1,
        name: shape.names[stage].clone(),
        lost: leaving.lost,
        passed,
    };
    shape.steps().zip(leaving).zip(passed).map(stage).collect()
}

/// The comparison with the other period, where one is asked for.
pub(super) fn compare(analysis: &Analysis<'_>) -> Option<Comparison> {
    let Analysis { request, shape, .. } = analysis;
    let side = |population| Side { population };
    let mut sides = [side(analysis.other()?), side(analysis.population())];
    sides.sort_by_key(|side| side.population.period);
    let frame = Frame { shape, mix_by: request.mix_by.as_deref(), thresholds: &request.thresholds };
    Some(comparison(&sides[0], &sides[1], &frame))
}
