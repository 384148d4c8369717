//! The analytics routes: each a part of the report that `onramp report` prints, under the names of the contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use onramp_compute::Grounds;
use onramp_compute::metrics::analysis::{Advice, Exits};
use onramp_compute::metrics::recommendations::{Priority, Recommendation};
use onramp_compute::metrics::{Instant, Period, Report, leaving};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::problem::{Problem, Refusals, Unchanged};
use super::question::{Filters, Question};

/// What every document says of where its figures come from.
#[derive(Clone, Serialize, ToSchema)]
pub struct Provenance {
    /// Only events up to here count.
    as_of: Instant,
    /// What was read: next sequence by source. Empty for a caller who does not see all clients.
    positions: BTreeMap<String, i64>,
    /// Name of the funnel.
    funnel: String,
    /// Hash of its definition.
    funnel_hash: String,
    /// Version of the program and of its time-zone data.
    program_version: String,
    /// The sessions are those that started within.
    period: Period,
}

impl Provenance {
    /// That of an answer about a funnel.
    pub fn of(funnel: String, grounds: Grounds) -> Self {
        let Grounds { positions, as_of, period, funnel_hash, program_version } = grounds;
        Self { as_of, positions, funnel, funnel_hash, program_version, period }
    }
}

/// What a report may be asked for beside its sessions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what the route takes by name")]
pub struct Parts {
    /// Attributes to segment by, separated by commas.
    #[param(example = "device,language")]
    segment_by: Option<String>,
    /// Start of a period to compare with.
    compare_start: Option<String>,
    /// Its end, exclusive.
    compare_end: Option<String>,
    /// Attribute by which the change is decomposed.
    mix_by: Option<String>,
}

/// The whole funnel.
///
/// Who gets how far, where, when and why the others are lost, and what to do about it. As CSV and Arrow: the
/// stages.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/funnel",
    tag = "analytics",
    params(Filters, Parts),
    responses(
        (status = OK, description = "As asked.", content(
            (Report = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn funnel(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let segment_by = question.take_list("segment_by");
    let compare = question.take_compared()?;
    let mix_by = question.take("mix_by");
    let mut request = question.request(&api)?;
    (request.segment_by, request.compare, request.mix_by) = (segment_by, compare, mix_by);
    let write = |provenance: &Provenance, report: &Report, tag: &str| {
        let report = Report { positions: provenance.positions.clone(), ..report.clone() };
        question.answer(tag, &report, &report.stages)
    };
    api.answered(&question, funnel, request, write).await
}

/// When, with which errors, after how long and why sessions leave.
#[derive(Serialize, ToSchema)]
pub struct DropOffHeatmap<'a> {
    #[serde(flatten)]
    provenance: &'a Provenance,
    /// Sessions of the period that did not complete: lost and in flight.
    total_incomplete: u64,
    /// Stages by hour of the week; cells that no session left in are not listed.
    heatmap: &'a [leaving::HeatmapCell],
    /// Errors that go with losing a session.
    error_patterns: &'a [leaving::ErrorPattern],
    /// How long sessions stay at a stage.
    time_analysis: &'a [leaving::Dwell],
    /// Why sessions are lost.
    common_reasons: &'a [leaving::Reason],
}

/// When and why sessions leave.
///
/// By hour of the week, with which errors, after how long and for what reasons. As CSV and Arrow: the cells
/// of the heatmap.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/drop-off-heatmap",
    tag = "analytics",
    params(Filters),
    responses(
        (status = OK, description = "As asked.", content(
            (DropOffHeatmap = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn drop_off_heatmap(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let request = question.request(&api)?;
    let write = |provenance: &Provenance, exits: &Exits, tag: &str| {
        let document = DropOffHeatmap {
            provenance,
            total_incomplete: exits.incomplete,
            heatmap: &exits.heatmap,
            error_patterns: &exits.error_patterns,
            time_analysis: &exits.time_analysis,
            common_reasons: &exits.reasons,
        };
        question.answer(tag, &document, document.heatmap)
    };
    api.answered(&question, funnel, request, write).await
}

/// What to do, and why.
#[derive(Serialize, ToSchema)]
pub struct Recommendations<'a> {
    #[serde(flatten)]
    provenance: &'a Provenance,
    /// The most promising first.
    recommendations: Vec<&'a Recommendation>,
}

/// Which recommendations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what the route takes by name")]
pub struct Chosen {
    /// Only those of this priority.
    #[param(inline)]
    priority: Option<Priority>,
    /// Attributes whose values are held against each other, separated by commas.
    segment_by: Option<String>,
}

/// What to do about it.
///
/// The most promising first, each with the figures that it rests on. As CSV and Arrow: the recommendations.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/recommendations",
    tag = "analytics",
    params(Filters, Chosen),
    responses(
        (status = OK, description = "As asked.", content(
            (Recommendations = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn recommendations(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let segment_by = question.take_list("segment_by");
    let priority: Option<Priority> = question.take_word("priority", "high, medium or low")?;
    let mut request = question.request(&api)?;
    request.segment_by = segment_by;
    let chosen = |it: &&Recommendation| priority.is_none_or(|wanted| it.priority == wanted);
    let write = |provenance: &Provenance, advice: &Advice, tag: &str| {
        let recommendations = advice.recommendations.iter().filter(chosen).collect();
        let document = Recommendations { provenance, recommendations };
        question.answer(tag, &document, &document.recommendations)
    };
    api.answered(&question, funnel, request, write).await
}
