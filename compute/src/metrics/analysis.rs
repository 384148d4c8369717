//! A question with the sessions that answer it, and the parts of a report that are asked for alone.

use super::calendar::HoursOfWeek;
use super::cohorts::{self, Cohort, Trend};
use super::comparison::Comparison;
use super::insights::{Insight, insights};
use super::leaving::{Dwell, ErrorPattern, HeatmapCell, Leaving, Reason, leaving, reasons};
use super::parallel;
use super::population::{Basis, Population, Shape, State};
use super::recommendations::{self, Recommendation, previous_period};
use super::segments::{Segments, segments};
use super::times::Durations;
use super::{Input, Request, figures};
use crate::fold::Rules;
use crate::sessions::Positions;

/// A question with the sessions that answer it.
pub struct Analysis<'a> {
    pub(crate) request: &'a Request,
    pub(super) shape: Shape,
    pub(super) input: &'a Input,
    pub(crate) positions: &'a Positions,
    populations: &'a [Population],
    nobody: Population,
}

/// Which sessions an answer rests on, beside those of the period, and how much of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The sessions of the equally long period before.
    pub before: bool,
    /// Times and codes of errors.
    pub errors: bool,
}

/// A report or a part of one.
pub trait Answer: Sized + Send + 'static {
    /// What it rests on.
    const NEEDS: Needs;

    /// Computes it.
    fn of(analysis: &Analysis<'_>) -> Self;
}

impl<'a> Analysis<'a> {
    /// Over the sessions of periods that are each there once, folded as of `request.as_of` from events
    /// before these positions that were like `input`.
    pub fn new(
        request: &'a Request,
        populations: &'a [Population],
        input: &'a Input,
        positions: &'a Positions,
    ) -> Self {
        let (shape, nobody) = (Shape::new(&request.funnel), Population::default());
        Self { request, shape, input, positions, populations, nobody }
    }

    fn of_period(&self, period: (i64, i64)) -> &Population {
        self.populations.iter().find(|it| it.period == period).unwrap_or(&self.nobody)
    }

    /// The sessions of the period.
    pub(super) fn population(&self) -> &Population {
        self.of_period((self.request.from, self.request.to))
    }

    /// Those of the period to compare with, where there is one.
    pub(super) fn other(&self) -> Option<&Population> {
        self.request.compare.map(|period| self.of_period(period))
    }

    pub(super) fn hours(&self) -> HoursOfWeek {
        HoursOfWeek::new(self.request.from, self.request.as_of, self.request.timezone)
    }

    pub(super) fn segments(&self) -> Option<Segments> {
        let Request { segment_by, thresholds, .. } = self.request;
        let asked = (!segment_by.is_empty()).then_some(segment_by)?;
        Some(segments(self.population(), &self.shape, asked, thresholds))
    }

    pub(super) fn cohorts(&self) -> Vec<Cohort> {
        let horizon = Rules::new(&self.request.funnel).horizon();
        let Request { from, to, as_of, timezone, .. } = *self.request;
        cohorts::cohorts(self.population(), &self.shape, (from, to), timezone, (as_of, horizon))
    }

    pub(super) fn recommend(&self, segments: Option<&Segments>) -> Vec<Recommendation> {
        let (request, shape) = (self.request, &self.shape);
        let horizon = Rules::new(&request.funnel).horizon();
        let mature_end = request.as_of.saturating_sub(horizon).saturating_add(1);
        let side = |name, period: (i64, i64)| {
            let population = self.of_period(period);
            let (from, to) = (period.0, period.1.min(mature_end));
            let (counts, orphans) = (population.counts().1, population.orphans(from, to));
            recommendations::Side { name, from, to, population, counts, orphans }
        };
        recommendations::recommend(&recommendations::Frame {
            request,
            shape,
            mature: Basis::Mature,
            horizon,
            now: side("this period", (request.from, request.to)),
            before: side("the period before", previous_period(request.from, request.to)),
            segments,
            input: self.input,
        })
    }
}

/// When, with which errors, after how long and why sessions leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Exits {
    /// Sessions of the period that did not complete: lost and in flight.
    pub incomplete: u64,
    /// When stages are left.
    pub heatmap: Vec<HeatmapCell>,
    /// Errors that go with losing a session.
    pub error_patterns: Vec<ErrorPattern>,
    /// How long sessions stay at a stage.
    pub time_analysis: Vec<Dwell>,
    /// Why sessions are lost.
    pub reasons: Vec<Reason>,
}

impl Answer for Exits {
    const NEEDS: Needs = Needs { before: false, errors: true };

    fn of(analysis: &Analysis<'_>) -> Self {
        let (population, shape) = (analysis.population(), &analysis.shape);
        let hours = analysis.hours();
        let step = |step: (usize, usize)| -> (Leaving, Durations) {
            let passed = Durations::of(&population.durations(step.0, step.1));
            (leaving(population, step, &hours), passed)
        };
        let (left, passed): (Vec<_>, Vec<_>) =
            parallel::map(shape.steps(), step).into_iter().unzip();
        Exits {
            incomplete: population.standing(Basis::Raw).total(|state| state != State::Completed),
            time_analysis: figures::dwell(shape, &left, passed),
            heatmap: left.iter().flat_map(|step| step.cells.clone()).collect(),
            error_patterns: left.into_iter().flat_map(|step| step.patterns).collect(),
            reasons: reasons(population),
        }
    }
}

/// Segments and weeks held against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Groupings {
    /// Segments, where asked for.
    pub segments: Option<Segments>,
    /// By the week of the start.
    pub cohorts: Vec<Cohort>,
    /// Where weekly conversion is heading.
    pub trend: Trend,
    /// What is significant of it.
    pub insights: Vec<Insight>,
}

impl Answer for Groupings {
    const NEEDS: Needs = Needs { before: false, errors: false };

    fn of(analysis: &Analysis<'_>) -> Self {
        let (mut segments, mut cohorts) = (None, Vec::new());
        parallel::run(vec![
            Box::new(|| segments = analysis.segments()),
            Box::new(|| cohorts = analysis.cohorts()),
        ]);
        let trend = cohorts::trend(&cohorts, &analysis.request.thresholds);
        let insights = insights(segments.as_ref(), &trend);
        Groupings { segments, cohorts, trend, insights }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The most promising first.
    pub recommendations: Vec<Recommendation>,
}

impl Answer for Advice {
    const NEEDS: Needs = Needs { before: true, errors: true };

    fn of(analysis: &Analysis<'_>) -> Self {
        Advice { recommendations: analysis.recommend(analysis.segments().as_ref()) }
    }
}

/// The comparison with the other period, where one is asked for.
impl Answer for Option<Comparison> {
    const NEEDS: Needs = Needs { before: false, errors: false };

    fn of(analysis: &Analysis<'_>) -> Self {
        figures::compare(analysis)
    }
}
