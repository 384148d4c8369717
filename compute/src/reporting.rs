//! From a lake and a question to a report: catch up, load, compute.

use std::sync::Arc;

use chrono_tz::Tz;
use onramp_lake::Lake;
use onramp_schemas::funnel::Funnel;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::metrics::population::{Population, Shape};
use crate::metrics::rates::FunnelRates;
use crate::metrics::{
    Analysis, Answer, Input, Instant, Needs, Period, Report, Request, program_version,
};
use crate::reports::{answer_before, keep};
use crate::sessions::{
    CaughtUp, Dataset, LoadRequest, OnProgress, Positions, Settings, catch_up, count, input_counts,
    knows_client, load, watermark,
};

mod request;
#[cfg(test)]
mod tests;

use request::within;
pub use request::{Compared, Moment, ReportRequest};

/// When a question is as of: what was asked for, or as late as it can be.
///
/// # Errors
/// A lake without events, and an instant beyond the newest of them.
pub(crate) async fn as_of(
    lake: &Lake,
    engine: &Engine,
    caught_up: &CaughtUp,
    asked: Option<Moment>,
    now: i64,
) -> Result<i64, ComputeError> {
    let watermark = newest(lake, engine, caught_up).await?;
    within(asked.map(|moment| moment.resolve(Tz::UTC)), now, watermark)
}

async fn newest(lake: &Lake, engine: &Engine, caught_up: &CaughtUp) -> Result<i64, ComputeError> {
    let empty = || ComputeError::EmptyLake { url: lake.root().to_owned() };
    let events = caught_up.events.as_ref().ok_or_else(empty)?;
    watermark(lake, engine, events).await?.ok_or_else(empty)
}

/// What an answer rests on, beside the question: where these are equal, so is the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grounds {
    /// The next sequence of each source: what is read lies before.
    pub positions: Positions,
    /// Only events up to here count.
    pub as_of: Instant,
    /// The period.
    pub period: Period,
    /// Hash of the funnel's definition.
    pub funnel_hash: String,
    /// Version of the program and of its time-zone data.
    pub program_version: String,
}

impl Grounds {
    fn of(request: &Request, positions: Positions) -> Self {
        Self {
            positions,
            as_of: Instant(request.as_of),
            period: Period::of(request),
            funnel_hash: request.funnel.hash(),
            program_version: program_version(),
        }
    }
}

/// What an answer would rest on now, without computing it.
///
/// # Errors
/// As [`answer`], but for attributes that no session has.
pub async fn grounds(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<Grounds, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let fixed = fixed(lake, funnel, request, engine, &caught_up).await?;
    Ok(Grounds::of(&fixed, caught_up.positions()))
}

/// The report of a funnel or a part of it, and what it rests on, from a lake whose sessions are brought up
/// to date first. Of the sessions no more is read than the answer needs.
///
/// # Errors
/// When the lake holds no events; when the question has no answer (an as-of instant beyond the
/// newest event, a period that ends before it starts, an attribute that no session has); when a
/// condition of the funnel is invalid; when the lake or the engine fails.
pub async fn answer<A: Answer>(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<(Grounds, A), ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let (fixed, dataset, input) =
        basis(lake, funnel, request, engine, &caught_up, A::NEEDS).await?;
    let read = (dataset.positions, input);
    let answer = computed(&fixed, &Arc::new(dataset.populations), read.clone()).await?;
    Ok((Grounds::of(&fixed, read.0), answer))
}

/// The same, kept in the table `reports` so that it can be given again.
///
/// When an as-of instant is named and the same was asked before, only events up to it make a
/// difference: without such the answer is the one that was given, to the byte.
///
/// A lake that cannot be written to, or not now, gives the report all the same: that it was not kept
/// is a warning in the log.
///
/// # Errors
/// As [`answer`], and when the reports that were kept cannot be read.
pub async fn kept_report(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<Report, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let (fixed, dataset, input) =
        basis(lake, funnel, request, engine, &caught_up, Report::NEEDS).await?;
    let populations = Arc::new(dataset.populations);
    if request.as_of.is_some()
        && let Some(before) = answer_before(lake, engine, &fixed).await?
    {
        let as_then = (before.positions.clone(), before.data_quality);
        let report: Report = computed(&fixed, &populations, as_then).await?;
        if before.is(&report) {
            return Ok(report);
        }
    }
    let report: Report = computed(&fixed, &populations, (dataset.positions, input)).await?;
    let kept = keep(lake, engine, request.now, &fixed, dataset.events_version, &report).await;
    if let Err(error) = kept {
        tracing::warn!(
            report_id = report.report_id,
            error = &error as &dyn std::error::Error,
            "report could not be kept, `--reproduce` will not find it"
        );
    }
    Ok(report)
}

/// The standard funnel alone: the rates of a report's stages, from fewer columns than it reads.
///
/// # Errors
/// As [`answer`].
pub async fn funnel_rates(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<FunnelRates, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let fixed = fixed(lake, funnel, request, engine, &caught_up).await?;
    let wanted = LoadRequest::of(&fixed, Needs::default());
    let (raw, mature) = count(lake, funnel, engine, &caught_up, &wanted).await?;
    Ok(FunnelRates::of(&Shape::new(funnel), &raw, &mature))
}

/// What an answer is computed from, of sessions as they were caught up.
async fn basis(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    caught_up: &CaughtUp,
    needs: Needs,
) -> Result<(Request, Dataset, Input), ComputeError> {
    let fixed = fixed(lake, funnel, request, engine, caught_up).await?;
    let wanted = LoadRequest::of(&fixed, needs);
    let (dataset, input) = tokio::try_join!(
        load(lake, funnel, engine, caught_up, &wanted),
        input_counts(lake, &funnel.name, engine, caught_up, &wanted),
    )?;
    Ok((fixed, dataset, input))
}

/// The figures, with what was read for them: up to where, and what the events there were like.
pub(crate) async fn computed<A: Answer>(
    request: &Request,
    populations: &Arc<Vec<Population>>,
    (positions, input): (Positions, Input),
) -> Result<A, ComputeError> {
    let (request, populations) = (request.clone(), Arc::clone(populations));
    let computed = tokio::task::spawn_blocking(move || {
        A::of(&Analysis::new(&request, &populations, &input, &positions))
    });
    computed.await.map_err(|error| {
        ComputeError::query(
            "compute the report",
            datafusion::error::DataFusionError::External(Box::new(error)),
        )
    })
}

/// The request in instants.
pub(crate) async fn fixed(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    caught_up: &CaughtUp,
) -> Result<Request, ComputeError> {
    let fixed = request.fixed(funnel, newest(lake, engine, caught_up).await?)?;
    if let (Some(client), Some(events)) = (&fixed.client_id, &caught_up.events)
        // A client that the asker may not see is one that is not there.
        && !(fixed.selection.sees(client) && knows_client(lake, engine, events, client).await?)
    {
        return Err(ComputeError::NoClient { client_id: client.clone() });
    }
    Ok(fixed)
}
