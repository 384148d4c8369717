//! The analytics routes: each a part of the report that `onramp report` prints, under the names of the contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use onramp_compute::metrics::{Instant, Period, Report, leaving};
use serde::Serialize;

use super::Api;
use super::parameters::{Filters, Parameters};
use super::problem::Problem;
use super::respond::document;

/// What every document says of where its figures come from.
#[derive(Serialize)]
struct Provenance<'a> {
    as_of: &'a Instant,
    positions: &'a BTreeMap<String, i64>,
    funnel: &'a str,
    funnel_hash: &'a str,
    program_version: &'a str,
    period: &'a Period,
}

impl<'a> Provenance<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            as_of: &report.as_of,
            positions: &report.positions,
            funnel: &report.funnel,
            funnel_hash: &report.funnel_hash,
            program_version: &report.program_version,
            period: &report.period,
        }
    }
}

/// `GET funnel/`: the whole report; its stages are the rows.
pub async fn funnel(
    State(api): State<Arc<Api>>,
    Parameters(filters): Parameters<Filters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = api.report(&filters, filters.request(api.now(), api.timezone)?).await?;
    document(&headers, &report, |report: &Report| &report.stages)
}

/// When, with which errors, after how long and why sessions leave.
#[derive(Serialize)]
struct Leaving<'a> {
    #[serde(flatten)]
    provenance: Provenance<'a>,
    /// Sessions of the period that did not complete: lost and in flight.
    total_incomplete: u64,
    heatmap: &'a [leaving::HeatmapCell],
    error_patterns: &'a [leaving::ErrorPattern],
    time_analysis: &'a [leaving::Dwell],
    common_reasons: &'a [leaving::Reason],
}

/// `GET drop-off-heatmap/`; the cells are the rows.
pub async fn drop_off_heatmap(
    State(api): State<Arc<Api>>,
    Parameters(filters): Parameters<Filters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = api.report(&filters, filters.request(api.now(), api.timezone)?).await?;
    let leaving = Leaving {
        provenance: Provenance::of(&report),
        total_incomplete: report.total_sessions - report.completed,
        heatmap: &report.heatmap,
        error_patterns: &report.error_patterns,
        time_analysis: &report.time_analysis,
        common_reasons: &report.common_reasons,
    };
    document(&headers, &leaving, |leaving: &Leaving<'_>| leaving.heatmap)
}
