//! Two periods side by side.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use onramp_compute::Compared;
use onramp_compute::metrics::cohorts::Direction;
use onramp_compute::metrics::comparison::{
    Change, ComparedBasis, ComparedPeriod, ComparedTimes, Comparison,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::analytics::Provenance;
use super::problem::{Problem, Refusals, Unchanged};
use super::question::{Filters, Question};

/// The later period and the earlier.
#[derive(Serialize, ToSchema)]
pub struct ComparisonDocument<'a> {
    #[serde(flatten)]
    provenance: &'a Provenance,
    /// The earlier period.
    period1: ComparedPeriod,
    /// The later period.
    period2: ComparedPeriod,
    /// What changed from the one to the other.
    changes: Changes<'a>,
}

/// Later minus earlier.
#[derive(Serialize, ToSchema)]
pub struct Changes<'a> {
    /// Change of overall conversion.
    conversion_rate_change: RateChange,
    /// Where the mature conversion to the last stage is heading.
    trend: Direction,
    /// Over all sessions; shown, not judged.
    raw: &'a ComparedBasis,
    /// Over sessions watched for the horizon; this is judged.
    mature: &'a ComparedBasis,
    /// Times, among those who reached a stage; shown, not judged.
    times: &'a [ComparedTimes],
}

/// A change on both footings.
#[derive(Serialize, ToSchema)]
pub struct RateChange {
    /// Over all sessions; shown, not judged.
    raw: Change,
    /// Over sessions watched for the horizon; this is judged.
    mature: Change,
}

impl<'a> Changes<'a> {
    fn of(comparison: &'a Comparison) -> Self {
        let Comparison { raw, mature, trend, times, .. } = comparison;
        let overall = |basis: &ComparedBasis| {
            basis.stages.last().map(|last| last.from_start).unwrap_or_default()
        };
        Self {
            conversion_rate_change: RateChange { raw: overall(raw), mature: overall(mature) },
            trend: *trend,
            raw,
            mature,
            times,
        }
    }
}

/// What is compared.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what the route takes by name")]
pub struct Other {
    /// Start of the other period. Default: the equally long period just before.
    compare_start: Option<String>,
    /// Its end, exclusive.
    compare_end: Option<String>,
    /// Attribute by which the change is decomposed.
    mix_by: Option<String>,
}

/// Two periods side by side.
///
/// Every rate with its change, intervals and p-values. As CSV and Arrow: the stages on the mature footing.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/comparison",
    tag = "analytics",
    params(Filters, Other),
    responses(
        (status = OK, description = "As asked.", content(
            (ComparisonDocument = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn comparison(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let compare = question.take_compared()?.or(Some(Compared::Before));
    let mix_by = question.take("mix_by");
    let mut request = question.request(&api)?;
    (request.compare, request.mix_by) = (compare, mix_by);
    let write = |provenance: &Provenance, comparison: &Option<Comparison>, tag: &str| {
        let Some(comparison) = comparison else {
            return Err(Problem::broken("an answer lacks the comparison that it was asked for"));
        };
        let document = ComparisonDocument {
            provenance,
            period1: comparison.period1,
            period2: comparison.period2,
            changes: Changes::of(comparison),
        };
        question.answer(tag, &document, &comparison.mature.stages)
    };
    api.answered(&question, funnel, request, write).await
}
