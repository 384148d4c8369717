//! One session, event by event, with what the funnel makes of it after each.

use std::collections::{BTreeMap, BTreeSet};

use onramp_lake::Lake;
use onramp_schemas::funnel::Funnel;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::{Digest, Fate, Rules, fold};
use crate::metrics::Instant;
use crate::reporting::{Moment, as_of};
use crate::selection::Selection;
use crate::sessions::{OnProgress, Settings, Story, StoryEvent, catch_up, story};

#[cfg(test)]
mod tests;

/// The most events of one answer.
pub const LARGEST_PAGE: usize = 1_000;

/// Which session, and which part of it.
#[derive(Clone, Debug)]
pub struct TimelineRequest {
    /// The session.
    pub session_id: String,
    /// Its client; needed where several clients have a session of that id.
    pub client_id: Option<String>,
    /// The clients that the asker may see; `None`: all.
    pub clients: Option<BTreeSet<String>>,
    /// The present: microseconds UTC.
    pub now: i64,
    /// Only events up to here count (default: the present or the watermark, whichever is earlier).
    pub as_of: Option<Moment>,
    /// At most so many events, up to [`LARGEST_PAGE`].
    pub limit: usize,
    /// Leave out the first so many.
    pub offset: usize,
}

/// A session's events in the order of the fold, each identity once.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Timeline {
    /// Only events up to here count.
    pub as_of: Instant,
    /// What was read: next sequence by source.
    pub positions: BTreeMap<String, i64>,
    /// Name of the funnel.
    pub funnel: String,
    /// Hash of its definition.
    pub funnel_hash: String,
    /// The tenant.
    pub client_id: String,
    /// The session.
    pub session_id: String,
    /// What the funnel makes of it as of the instant.
    pub state: State,
    /// Its events up to the as-of instant.
    pub total: usize,
    /// Events before this page.
    pub offset: usize,
    /// The page.
    pub events: Vec<TimelineEvent>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TimelineEvent {
    /// When it happened.
    pub occurred_at: Instant,
    /// Its type.
    pub event_type: String,
    /// The emitting app.
    pub source: String,
    /// Its id, unique with client and source.
    pub id: String,
    /// Numbers of the stages whose condition it meets.
    pub meets: Vec<usize>,
    /// It says that the person gave up.
    pub abandonment: bool,
    /// It reports an error.
    pub error: bool,
    /// The abandonment's reason.
    pub reason: Option<String>,
    /// The error's code.
    pub code: Option<String>,
    /// The payload.
    pub data: serde_json::Value,
    /// What the funnel makes of the session as of this event and all before it.
    pub state: State,
}

/// What a funnel makes of a session as of an instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct State {
    /// `orphan` before its first stage, else `in_flight`, `completed` or `abandoned`.
    pub outcome: &'static str,
    /// Number of the furthest required stage; 0: none.
    pub stage: usize,
    /// Its name.
    pub stage_name: Option<String>,
    /// Numbers of the stages that were reached, by their own names.
    pub reached: Vec<usize>,
    /// `explicit`, `idle`, `window` or `order`.
    pub lost_how: Option<&'static str>,
    /// Why it was lost.
    pub reason: Option<String>,
    /// An exclusion takes it out of every count.
    pub excluded: bool,
}

/// The timeline of a session of a lake.
///
/// # Errors
/// A session that is not there or that several clients have; a page that is too large; an as-of
/// instant beyond the newest event; and when the lake or the engine fails.
pub async fn timeline(
    lake: &Lake,
    funnel: &Funnel,
    request: &TimelineRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<Timeline, ComputeError> {
    if request.limit > LARGEST_PAGE {
        return Err(ComputeError::Request(format!(
            "a timeline holds at most {LARGEST_PAGE} events, not {}; ask for the next ones by offset",
            request.limit
        )));
    }
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let as_of = as_of(lake, engine, &caught_up, request.as_of, request.now).await?;
    let seen = Selection { clients: request.clients.clone(), ..Selection::default() };
    let clients = seen.clients_filter(request.client_id.as_deref());
    let name = (clients, request.session_id.as_str());
    let told = story(lake, funnel, engine, &caught_up, name).await?;
    let seen = told.events.iter().take_while(|event| event.digest.occurred_at <= as_of).count();
    if seen == 0 {
        return Err(ComputeError::NoSession { session_id: request.session_id.clone() });
    }
    Ok(Timeline {
        positions: caught_up.positions(),
        ..document(told, seen, funnel, request, as_of)
    })
}

fn document(
    told: Story,
    seen: usize,
    funnel: &Funnel,
    request: &TimelineRequest,
    as_of: i64,
) -> Timeline {
    let rules = Rules::new(funnel);
    let digests: Vec<Digest> = told.events.iter().map(|event| event.digest.clone()).collect();
    let page = told.events.into_iter().enumerate().take(seen);
    let event = |(index, event): (usize, StoryEvent)| {
        let at = event.digest.occurred_at;
        listed(event, state(&digests[..=index], &rules, funnel, at), funnel)
    };
    Timeline {
        as_of: Instant(as_of),
        positions: BTreeMap::new(),
        funnel: funnel.name.clone(),
        funnel_hash: funnel.hash(),
        client_id: told.client_id.to_string(),
        session_id: told.session_id.to_string(),
        state: state(&digests, &rules, funnel, as_of),
        total: seen,
        offset: request.offset,
        events: page.skip(request.offset).take(request.limit).map(event).collect(),
    }
}

fn listed(event: StoryEvent, state: State, funnel: &Funnel) -> TimelineEvent {
    let StoryEvent { source, id, event_type, data, digest } = event;
    let text = |value: Option<std::sync::Arc<str>>| value.map(|value| value.to_string());
    TimelineEvent {
        occurred_at: Instant(digest.occurred_at),
        event_type: event_type.into(),
        source: source.to_string(),
        id: id.into(),
        meets: numbers(digest.stages, funnel),
        abandonment: digest.abandonment,
        error: digest.error,
        reason: text(digest.reason),
        code: text(digest.code),
        data: serde_json::from_str(&data).unwrap_or_default(),
        state,
    }
}

/// The state after these events, looked at from an instant.
fn state(digests: &[Digest], rules: &Rules, funnel: &Funnel, as_of: i64) -> State {
    let Some(folded) = fold(digests, rules, as_of) else { return State::default() };
    State {
        outcome: match folded.fate {
            Fate::Orphan => "orphan",
            Fate::Completed => "completed",
            Fate::Abandoned { .. } => "abandoned",
            Fate::InFlight { .. } => "in_flight",
        },
        stage: folded.furthest,
        stage_name: folded.furthest.checked_sub(1).map(|stage| funnel.stages[stage].name.clone()),
        reached: numbers(folded.reached, funnel),
        lost_how: folded.lost().map(|(_, how)| how.as_str()),
        reason: folded.reason_text().map(str::to_owned),
        excluded: folded.excluded,
    }
}

/// The set bits as numbers of stages, from 1.
fn numbers(mask: u32, funnel: &Funnel) -> Vec<usize> {
    (0..funnel.stages.len()).filter(|stage| mask >> stage & 1 == 1).map(|stage| stage + 1).collect()
}
