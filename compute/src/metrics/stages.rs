//! The funnel itself, stage by stage.

use serde::Serialize;
use utoipa::ToSchema;

use super::population::Population;
use super::rates::{FunnelRates, Rate, StageRates};
use super::times::{Durations, StageIncidence, StageTimes};

/// Overall conversion on both footings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Conversion {
    /// Over all sessions.
    pub raw: Rate,
    /// Within the horizon, over sessions watched that long.
    pub mature: Rate,
}

/// Everything about one stage.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StageReport {
    /// Number, from 1.
    pub stage: usize,
    /// Name.
    pub name: String,
    /// Whether it may be skipped.
    pub optional: bool,
    /// Sessions that reached it; in an unordered funnel those that reached that many stages.
    pub count: u64,
    /// Sessions that reached it by its own name.
    pub reached_by_name: u64,
    /// Of those that started.
    pub from_start: Rate,
    /// Of those that reached the required stage before; `null` for the first stage.
    pub from_previous: Option<Rate>,
    /// Within the horizon, over sessions watched that long.
    pub mature: MatureStage,
    /// Time from the first stage, of those that reached this one; `null` for the first stage.
    pub time_to_stage: Option<Durations>,
    /// Time from the required stage before, of those that reached this one.
    pub step_time: Option<Durations>,
    /// Incidence of reaching it after the required stage before, of everyone who reached that.
    pub incidence: Option<StageIncidence>,
}

/// A stage on the mature footing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatureStage {
    /// Sessions that reached it within the horizon.
    pub count: u64,
    /// Of those that started.
    pub from_start: Rate,
    /// Of those that reached the required stage before; `null` for the first stage.
    pub from_previous: Option<Rate>,
}

pub(super) fn stages(
    population: &Population,
    rates: FunnelRates,
    times: Vec<Option<StageTimes>>,
) -> Vec<StageReport> {
    let rates = rates.raw.into_iter().zip(rates.mature);
    let stage =
        |((raw, mature), times): ((StageRates, StageRates), Option<StageTimes>)| StageReport {
            stage: raw.stage,
            name: raw.name,
            optional: raw.optional,
            count: raw.count,
            reached_by_name: population.by_name[raw.stage - 1],
            from_start: raw.from_start,
            from_previous: raw.from_previous,
            mature: MatureStage {
                count: mature.count,
                from_start: mature.from_start,
                from_previous: mature.from_previous,
            },
            time_to_stage: times.as_ref().map(|times| times.from_start),
            step_time: times.as_ref().map(|times| times.step),
            incidence: times.map(|times| times.incidence),
        };
    rates.zip(times).map(stage).collect()
}
