//! The sessions behind a number, and what happened in one of them.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use onramp_compute::session_list::{Filter, ListRequest, Outcome, SessionList};
use onramp_compute::sessions::{Settings, silent};
use onramp_compute::timeline::{Timeline, TimelineRequest};
use onramp_schemas::funnel::Funnel;
use utoipa::IntoParams;

use super::Api;
use super::problem::{Problem, Refusals, Unchanged};
use super::question::{Filters, Page, Question};

/// Which sessions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what the route takes by name")]
pub struct Behind {
    /// They reached this stage: its number, from 1, or its name.
    stage: Option<String>,
    /// What became of them.
    #[param(inline)]
    outcome: Option<Outcome>,
    /// They were lost at this stage: its number, from 1, or its name.
    dropped_at: Option<String>,
}

/// The sessions behind a number.
///
/// The last to start first. As CSV and Arrow: the sessions.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/sessions",
    tag = "analytics",
    params(Filters, Behind, Page),
    responses(
        (status = OK, description = "As asked.", content(
            (SessionList = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn sessions(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let (limit, offset) = question.take_page()?;
    let filter = Filter {
        stage: stage(&mut question, "stage", &funnel)?,
        outcome: question.take_word("outcome", "completed, abandoned or in_flight")?,
        dropped_at: stage(&mut question, "dropped_at", &funnel)?,
    };
    let report = question.request(&api)?;
    let request = ListRequest { report, filter, limit, offset };
    let (lake, engine) = (api.lake.clone(), api.engine.clone());
    let mut list = api
        .computed(async move {
            let settings = Settings::default();
            onramp_compute::session_list(&lake, &funnel, &request, &engine, &settings, &silent)
                .await
        })
        .await?;
    let tag = question.tag(&(
        (&list.positions, list.as_of, &list.period),
        (&list.funnel_hash, onramp_compute::metrics::program_version()),
    ));
    question.hide(&mut list.positions);
    question.answer(&tag, &list, &list.sessions)
}

/// One session, event by event.
///
/// In order, with what the funnel makes of the session after each. As CSV and Arrow: the events.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/sessions/{session_id}/timeline",
    tag = "analytics",
    params(
        ("session_id" = String, Path, description = "The session."),
        ("client_id" = Option<String>, Query,
            description = "Its client, needed where several have a session of that id."),
        ("funnel" = Option<String>, Query,
            description = "The funnel. Default: `onboarding`, unless configured otherwise."),
        ("as_of" = Option<String>, Query,
            description = "Only events up to here count. Default: the newest event."),
        Page
    ),
    responses(
        (status = OK, description = "As asked.", content(
            (Timeline = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json",
            description = "`ambiguous_session`: several clients have a session of that id"),
        Unchanged,
        Refusals
    )
)]
pub async fn timeline(
    State(api): State<Arc<Api>>,
    session_id: Result<Path<String>, PathRejection>,
    mut question: Question,
) -> Result<Response, Problem> {
    let Path(session_id) = session_id.map_err(|refused| Problem::invalid(refused.body_text()))?;
    let funnel = question.take_funnel(&api)?;
    let (limit, offset) = question.take_page()?;
    let report = question.request(&api)?;
    let attribute = report.selection.attributes.keys().next();
    if attribute.is_some() || report.from.or(report.to).is_some() {
        let name = attribute.map_or("start and end", String::as_str);
        return Err(Problem::invalid(format!("a timeline is not chosen by {name}")));
    }
    let request = TimelineRequest {
        session_id,
        client_id: report.client_id,
        clients: report.selection.clients,
        now: report.now,
        as_of: report.as_of,
        limit,
        offset,
    };
    let (lake, engine) = (api.lake.clone(), api.engine.clone());
    let mut timeline = api
        .computed(async move {
            let settings = Settings::default();
            onramp_compute::timeline(&lake, &funnel, &request, &engine, &settings, &silent).await
        })
        .await?;
    let tag = question.tag(&(&timeline.positions, timeline.as_of, &timeline.funnel_hash));
    question.hide(&mut timeline.positions);
    question.answer(&tag, &timeline, &timeline.events)
}

/// A stage by number or name.
fn stage(question: &mut Question, name: &str, funnel: &Funnel) -> Result<Option<usize>, Problem> {
    let Some(text) = question.take(name) else { return Ok(None) };
    funnel.stage_number(&text).map(Some).ok_or_else(|| {
        let names: Vec<_> = funnel.stages.iter().map(|stage| stage.name.as_str()).collect();
        Problem::invalid(format!(
            "{name}: the funnel {} has no stage {text:?}; its stages are {}",
            funnel.name,
            names.join(", ")
        ))
    })
}
