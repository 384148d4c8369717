//! Sessions folded from the events themselves, as they stood at some positions.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, col};
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::tables::EVENTS;

use super::definition::Definition;
use super::gather::Gather;
use super::load::{distinct, instant, refold};
use super::positions::{Positions, before};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::Session;
use crate::metrics::population::Population;
use crate::metrics::{Answer, Report, Request, populations};
use crate::scan::LakeTable;

/// What [`load`](super::load()) gives for the request, from the events that lie before `positions`
/// alone: whatever was appended later and whatever the table `sessions` holds.
///
/// # Errors
/// When a condition of the funnel is invalid; when the lake or the engine fails.
pub(crate) async fn replay(
    lake: &Lake,
    engine: &Engine,
    (events, positions): (&Snapshot, &Positions),
    request: &Request,
) -> Result<Vec<Population>, ComputeError> {
    let context = engine.session(lake);
    let definition = Definition::compile(&context, &request.funnel)?;
    let names = distinct(&request.attributes());
    let table = LakeTable::of_files(lake, &EVENTS, events.files.clone());
    let filter = filter(&Arc::new(positions.clone()), request);
    let mut gather = Gather::start(&context, table, &definition, Some(filter)).await?;
    let periods = request.periods(Report::NEEDS);
    let mut sessions = Vec::new();
    while let Some(some) = gather.next().await? {
        for session in some {
            let folded = refold(&definition, &names, request.as_of, session)?;
            sessions.extend(folded.filter(|session| {
                begins_within(session, &periods) && request.selection.holds(session, &names)
            }));
        }
    }
    Ok(populations(request, &names, &sessions))
}

fn filter(positions: &Arc<Positions>, request: &Request) -> Expr {
    let old_enough = col("occurred_at").lt_eq(instant(request.as_of));
    let filter = old_enough.and(before(positions, "sequence"));
    let clients = request.selection.clients_filter(request.client_id.as_deref());
    clients.into_iter().fold(filter, Expr::and)
}

fn begins_within(session: &Session, periods: &[(i64, i64)]) -> bool {
    let folded = &session.folded;
    let at = folded.started_at().unwrap_or(folded.first_event_at);
    periods.iter().any(|(from, to)| (*from..*to).contains(&at))
}
