//! The last 24 hours.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use onramp_compute::metrics::recommendations::Recommendation;
use onramp_compute::metrics::{Instant, Report, StageReport};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::analytics::Provenance;
use super::problem::{Problem, Refusals, Unchanged};
use super::question::Question;

/// The length of the period.
const HOURS: u32 = 24;
/// Recommendations that are shown.
const SHOWN: usize = 3;

/// The last 24 hours.
#[derive(Serialize, ToSchema)]
pub struct Realtime<'a> {
    #[serde(flatten)]
    provenance: &'a Provenance,
    real_time: Now<'a>,
}

/// What is going on.
#[derive(Serialize, ToSchema)]
pub struct Now<'a> {
    /// The instant up to which events count: the newest of them.
    last_updated: Instant,
    /// Sessions that started within the 24 hours before.
    total_sessions: u64,
    /// Those of them that have recent activity.
    active_sessions: u64,
    /// Those of them that completed, as a part of all.
    completion_rate: Option<f64>,
    /// How far they got.
    stage_breakdown: Vec<Share<'a>>,
    /// The three most promising.
    recommendations: &'a [Recommendation],
}

/// One stage.
#[derive(Serialize, ToSchema)]
pub struct Share<'a> {
    /// Number, from 1.
    stage: usize,
    /// Name.
    name: &'a str,
    /// Sessions that reached it.
    count: u64,
    /// Of all sessions, 0–100.
    percentage: Option<f64>,
}

impl<'a> Now<'a> {
    fn of(report: &'a Report) -> Self {
        let share = |stage: &'a StageReport| Share {
            stage: stage.stage,
            name: &stage.name,
            count: stage.count,
            percentage: stage.from_start.rate.map(|rate| 100.0 * rate),
        };
        Self {
            last_updated: report.as_of,
            total_sessions: report.total_sessions,
            active_sessions: report.active,
            completion_rate: report.overall_conversion_rate,
            stage_breakdown: report.stages.iter().map(share).collect(),
            recommendations: &report.recommendations[..report.recommendations.len().min(SHOWN)],
        }
    }
}

/// The filters that make sense of the present.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what the route takes by name")]
pub struct Live {
    /// Only sessions of this client.
    client_id: Option<String>,
    /// The funnel. Default: `onboarding`, unless configured otherwise.
    funnel: Option<String>,
    /// Only sessions with this attribute; so for every attribute that sessions have.
    device: Option<String>,
}

/// The last 24 hours.
///
/// Up to the newest event. As CSV and Arrow: the stages.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/realtime",
    tag = "analytics",
    params(Live),
    responses(
        (status = OK, description = "As asked.", content(
            (Realtime = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn realtime(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let mut request = question.request(&api)?;
    if request.from.or(request.to).is_some() {
        let detail = "the period is the last 24 hours; ask funnel/ for another start and end";
        return Err(Problem::invalid(detail));
    }
    request.rolling_hours = Some(HOURS);
    let write = |provenance: &Provenance, report: &Report, tag: &str| {
        let document = Realtime { provenance, real_time: Now::of(report) };
        question.answer(tag, &document, &document.real_time.stage_breakdown)
    };
    api.answered(&question, funnel, request, write).await
}
