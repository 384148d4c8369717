//! The figures of a report that take long, computed side by side.

use super::Request;
use super::calendar::HoursOfWeek;
use super::cohorts::{Cohort, cohorts};
use super::comparison::{Comparison, Frame, Side, comparison};
use super::drop_off::{DropOff, drop_off};
use super::funnel_trend::{FunnelTrend, funnel_trend};
use super::histogram::{TimeToConvert, time_to_convert};
use super::leaving::{Dwell, Leaving, Reason, leaving, reasons};
use super::parallel::{self, Job};
use super::population::{Population, Shape};
use super::segments::{Segments, segments};
use super::times::{StageTimes, stage_times};
use crate::fold::Rules;

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
    /// Computes them over the sessions of the period, and of the one to compare with.
    pub fn of(
        request: &Request,
        shape: &Shape,
        population: &Population,
        other: Option<&Population>,
    ) -> Figures {
        let hours = HoursOfWeek::new(request.from, request.as_of, request.timezone);
        let horizon = Rules::new(&request.funnel).horizon();
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
        jobs.push(Box::new(|| {
            figures.comparison = other.map(|other| compare(request, shape, population, other));
        }));
        jobs.push(Box::new(|| {
            let (period, watched) = ((request.from, request.to), (request.as_of, horizon));
            figures.cohorts = cohorts(population, shape, period, request.timezone, watched);
        }));
        for (step, left) in shape.steps().zip(&mut figures.leaving) {
            let hours = &hours;
            jobs.push(Box::new(move || *left = leaving(population, step, hours)));
        }
        jobs.push(Box::new(|| {
            let (asked, thresholds) = (&request.segment_by, &request.thresholds);
            figures.segments =
                (!asked.is_empty()).then(|| segments(population, shape, asked, thresholds));
        }));
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
        let stage = |((stage, next), leaving): ((usize, usize), &Leaving)| Dwell {
            stage: stage + 1,
            name: shape.names[stage].clone(),
            lost: leaving.lost,
            // To pass on is to reach the next stage.
            passed: self.times[next].as_ref().map(|times| times.step).unwrap_or_default(),
        };
        shape.steps().zip(&self.leaving).map(stage).collect()
    }
}

fn compare(
    request: &Request,
    shape: &Shape,
    population: &Population,
    other: &Population,
) -> Comparison {
    let side = |population| Side { population };
    let mut sides = [side(other), side(population)];
    sides.sort_by_key(|side| side.population.period);
    let frame = Frame { shape, mix_by: request.mix_by.as_deref(), thresholds: &request.thresholds };
    comparison(&sides[0], &sides[1], &frame)
}
