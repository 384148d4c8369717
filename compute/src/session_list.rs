//! The sessions behind a number of a report.

use std::collections::BTreeMap;
use std::sync::Arc;

use onramp_lake::Lake;
use onramp_schemas::funnel::Funnel;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::{Fate, LostHow};
use crate::metrics::{Instant, Needs, Period};
use crate::reporting::{ReportRequest, fixed};
pub use crate::sessions::{Filter, Outcome};
use crate::sessions::{
    Glimpse, LoadRequest, OnProgress, Scope, Seen, Settings, catch_up, each_seen, refuse_unknown,
    starts,
};

#[cfg(test)]
mod tests;

/// The most sessions of one list.
pub const LARGEST_PAGE: usize = 1_000;

/// Which sessions of a report are listed, and how many.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The report whose sessions they are: its period, client, selection and as-of instant.
    pub report: ReportRequest,
    /// Only those of these.
    pub filter: Filter,
    /// At most so many, up to [`LARGEST_PAGE`].
    pub limit: usize,
    /// Leave out the first so many.
    pub offset: usize,
}

/// A page of sessions, the last to start first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SessionList {
    /// Only events up to here count.
    pub as_of: Instant,
    /// What was read: next sequence by source.
    pub positions: BTreeMap<String, i64>,
    /// Name of the funnel.
    pub funnel: String,
    /// Hash of its definition.
    pub funnel_hash: String,
    /// They started in this period.
    pub period: Period,
    /// Sessions that pass the filter.
    pub total: u64,
    /// Sessions before this page.
    pub offset: usize,
    /// The page: by start (latest first), then client and session id.
    pub sessions: Vec<ListedSession>,
}

/// One session of a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ListedSession {
    /// The tenant.
    pub client_id: String,
    /// The session, unique within the client.
    pub session_id: String,
    /// When it started.
    pub started_at: Instant,
    /// What became of it.
    pub outcome: Outcome,
    /// Number of the furthest required stage.
    pub stage: usize,
    /// Its name.
    pub stage_name: String,
    /// When it was reached.
    pub stage_at: Instant,
    /// The last activity.
    pub last_event_at: Instant,
    /// How long it stayed at that stage: to its last activity if lost, to the as-of instant if in
    /// flight; `null` if completed.
    pub dwell_seconds: Option<f64>,
    /// From the first stage to the last; `null` if not completed.
    pub seconds_to_complete: Option<f64>,
    /// When it was declared lost.
    pub lost_at: Option<Instant>,
    /// `explicit`, `idle`, `window` or `order`.
    pub lost_how: Option<&'static str>,
    /// Why it was lost.
    pub reason: Option<String>,
    /// Errors with a code.
    pub errors: usize,
    /// The funnel's segment attributes and those of the filter.
    pub attributes: BTreeMap<String, Option<String>>,
}

/// Lists sessions of a funnel, which is brought up to date first.
///
/// # Errors
/// As [`crate::answer`]; and a page that is too large, or a stage that the funnel does not have.
pub async fn session_list(
    lake: &Lake,
    funnel: &Funnel,
    request: &ListRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<SessionList, ComputeError> {
    check(funnel, request)?;
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let fixed = fixed(lake, funnel, &request.report, engine, &caught_up).await?;
    let filtered = request.report.selection.attributes.keys();
    let mut names: Vec<String> = funnel.segments.iter().chain(filtered).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let wanted = LoadRequest::of(&fixed, Needs::default());
    let end = request.offset.saturating_add(request.limit);
    let listed = (request.filter.clone(), end);
    let starts = starts(lake, funnel, engine, &caught_up, &wanted, listed).await?;
    // An attribute of which a session has the value is known.
    let attributes = fixed.selection.attributes.iter();
    let unsure = attributes.filter(|(_, value)| value.is_none() || starts.total == 0);
    let unsure: Vec<&String> = unsure.map(|(name, _)| name).collect();
    refuse_unknown(lake, funnel, engine, &caught_up, &wanted, &unsure).await?;
    let mut page = Page { wanted: end, ..Page::default() };
    if request.limit > 0 && starts.total > request.offset as u64 {
        // Names, reasons and errors are read of the page alone.
        let scope = Scope {
            as_of: fixed.as_of,
            period: (starts.since().unwrap_or(fixed.from), fixed.to),
            clients: fixed.selection.clients_filter(fixed.client_id.as_deref()),
        };
        each_seen(lake, funnel, engine, &caught_up, scope, |session| {
            let selected = fixed.selection.has(|name| session.attribute(name));
            if selected && !session.summary.excluded && holds(&request.filter, &session) {
                page.add(session, &names);
            }
        })
        .await?;
    }
    page.cut();
    let found = page.found.into_iter().skip(request.offset);
    Ok(SessionList {
        as_of: Instant(fixed.as_of),
        positions: caught_up.positions(),
        funnel: funnel.name.clone(),
        funnel_hash: funnel.hash(),
        period: Period::of(&fixed),
        total: starts.total,
        offset: request.offset,
        sessions: found.filter_map(|seen| described(seen, funnel, fixed.as_of, &names)).collect(),
    })
}

/// The first sessions in the list's order, however many there are.
#[derive(Default)]
struct Page {
    wanted: usize,
    found: Vec<Seen>,
    /// Sessions that started before cannot be on the page any more.
    since: Option<i64>,
}

impl Page {
    fn add(&mut self, session: Glimpse<'_>, names: &[String]) {
        if session.summary.started_at() < self.since {
            return;
        }
        self.found.push(session.seen(names));
        if self.found.len() > self.wanted.saturating_mul(2).max(LARGEST_PAGE) {
            self.cut();
            self.since = self.found.last().and_then(|last| last.summary.started_at());
        }
    }

    fn cut(&mut self) {
        self.found.sort_unstable_by(|one, other| {
            let name = |seen: &Seen| (Arc::clone(&seen.client_id), Arc::clone(&seen.session_id));
            let start = |seen: &Seen| seen.summary.started_at();
            start(other).cmp(&start(one)).then_with(|| name(one).cmp(&name(other)))
        });
        self.found.truncate(self.wanted);
    }
}

fn check(funnel: &Funnel, request: &ListRequest) -> Result<(), ComputeError> {
    let Filter { stage, dropped_at, .. } = request.filter;
    let stages = 1..=funnel.stages.len();
    if let Some(stage) = stage.into_iter().chain(dropped_at).find(|it| !stages.contains(it)) {
        return Err(ComputeError::Request(format!(
            "the funnel {} has no stage {stage}; its stages are 1 to {}",
            funnel.name,
            funnel.stages.len()
        )));
    }
    if request.limit > LARGEST_PAGE {
        return Err(ComputeError::Request(format!(
            "a list holds at most {LARGEST_PAGE} sessions, not {}; ask for the next ones by offset",
            request.limit
        )));
    }
    Ok(())
}

fn holds(filter: &Filter, session: &Glimpse<'_>) -> bool {
    let by_place = (0..).zip(&session.summary.stage_at);
    let reached = by_place.fold(0, |mask, (place, at)| mask | u32::from(at.is_some()) << place);
    filter.holds(reached, session.summary.furthest, session.fate)
}

/// `None`: a session that is in no funnel.
fn described(seen: Seen, funnel: &Funnel, as_of: i64, names: &[String]) -> Option<ListedSession> {
    let Seen { client_id, session_id, attributes, summary, fate } = seen;
    let outcome = Outcome::of(fate)?;
    let started_at = summary.started_at()?;
    let furthest = summary.furthest.checked_sub(1)?;
    let stage_at = summary.stage_at[furthest]?;
    let seconds = |micros: i64| micros as f64 / 1e6;
    let lost = match fate {
        Fate::Abandoned { lost_at, how } => Some((lost_at, how)),
        _ => None,
    };
    let reason = |how: LostHow| summary.reason.as_deref().unwrap_or(how.reason()).to_owned();
    Some(ListedSession {
        client_id: client_id.to_string(),
        session_id: session_id.to_string(),
        started_at: Instant(started_at),
        outcome,
        stage: summary.furthest,
        stage_name: funnel.stages[furthest].name.clone(),
        stage_at: Instant(stage_at),
        last_event_at: Instant(summary.last_event_at),
        dwell_seconds: match outcome {
            Outcome::Completed => None,
            Outcome::Abandoned => Some(seconds(summary.last_event_at - stage_at)),
            Outcome::InFlight => Some(seconds(as_of - stage_at)),
        },
        seconds_to_complete: (outcome == Outcome::Completed)
            .then(|| seconds(stage_at - started_at)),
        lost_at: lost.map(|(at, _)| Instant(at)),
        lost_how: lost.map(|(_, how)| how.as_str()),
        reason: lost.map(|(_, how)| reason(how)),
        errors: summary.errors.len(),
        attributes: names.iter().cloned().zip(attributes).collect(),
    })
}
