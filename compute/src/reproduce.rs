//! Giving a kept report again, to the byte: from the events that it read, and nothing else.

use std::sync::Arc;

use onramp_lake::Lake;
use onramp_schemas::tables::EVENTS;

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::metrics::Report;
use crate::reporting::computed;
use crate::reports::find;
use crate::sessions::{replay, replayed_counts};

#[cfg(test)]
mod tests;

/// A report given again.
#[derive(Clone, Debug)]
pub struct Reproduced {
    /// The report.
    pub report: Report,
    /// The version of the program that gave it first, where that was another: then it need not be
    /// the same to the byte, and names the version that gave it now.
    pub given_by: Option<String>,
}

/// Gives a kept report again. Neither later events nor compaction nor the table `sessions` matter:
/// the sessions are folded anew from the events that lie before its positions.
///
/// # Errors
/// When no report of this id is kept; when events that it read are not there any more; when the lake
/// or the engine fails.
pub async fn reproduce(
    lake: &Lake,
    report_id: &str,
    engine: &Engine,
) -> Result<Reproduced, ComputeError> {
    let kept = find(lake, engine, report_id).await?.ok_or_else(|| {
        ComputeError::Request(format!(
            "the lake at {} keeps no report {report_id:?}; `onramp sql \"SELECT report_id, created_at, \
             funnel FROM reports\"` lists those that it keeps",
            lake.root()
        ))
    })?;
    let request = kept.request()?;
    let empty = || ComputeError::EmptyLake { url: lake.root().to_owned() };
    let events = lake.open_table(&EVENTS).await?.ok_or_else(empty)?.snapshot().await?;
    let read = (&events, &kept.positions);
    let populations = Arc::new(replay(lake, engine, read, &request).await?);
    let input = replayed_counts(lake, engine, read, &request).await?;
    let as_then = (kept.positions.clone(), input);
    let report: Report = computed(&request, &populations, as_then).await?;
    if kept.is(&report) {
        return Ok(Reproduced { report, given_by: None });
    }
    if kept.program_version == report.program_version {
        return Err(ComputeError::Gone { report_id: report_id.to_owned() });
    }
    let report = Report { report_id: kept.report_id, ..report };
    Ok(Reproduced { report, given_by: Some(kept.program_version) })
}
