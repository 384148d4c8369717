//! A funnel definition compiled to what the fold asks of it, in microseconds.

use onramp_schemas::funnel::{Funnel, Order};

use super::Mark;

/// The rules of one funnel, compiled once and used for every session.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) order: Order,
    pub(super) step_windows: Vec<Option<i64>>,
    pub(super) required: Vec<usize>,
    pub(super) window: Option<i64>,
    pub(super) exclusions: Vec<(usize, usize)>,
    pub(super) abandon_after: i64,
    pub(super) active_within: i64,
    horizon: i64,
}

/// What stage matching finds, before the fate is decided.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub stage_at: Vec<Option<i64>>,
    pub by_name: u32,
    pub opening: Option<usize>,
    pub furthest: usize,
}

impl Rules {
    /// Compiles a checked funnel.
    pub fn new(funnel: &Funnel) -> Rules {
        let stages = funnel.stages.iter();
        let exclusions = funnel.exclusions.iter().map(|e| (e.from_stage - 1, e.to_stage - 1));
        Rules {
            order: funnel.order,
            step_windows: stages.map(|stage| stage.step_window_seconds.map(micros)).collect(),
            required: funnel.required(),
            window: funnel.window_seconds.map(micros),
            exclusions: exclusions.collect(),
            abandon_after: micros(funnel.abandon_after_seconds),
            active_within: micros(funnel.active_within_seconds),
            horizon: micros(funnel.horizon()),
        }
    }

    /// Rules of required stages and one window, all that stage times depend on.
    pub(crate) fn of_stages(stages: usize, order: Order, window: Option<u64>) -> Rules {
        Rules {
            order,
            step_windows: vec![None; stages],
            required: (0..stages).collect(),
            window: window.map(|window| i64::try_from(window).unwrap_or(i64::MAX)),
            exclusions: Vec::new(),
            abandon_after: i64::MAX,
            active_within: i64::MAX,
            horizon: i64::MAX,
        }
    }

    /// How long every session of a mature figure is watched, in microseconds.
    pub fn horizon(&self) -> i64 {
        self.horizon
    }

    /// The conversion window, in microseconds.
    pub(crate) fn window(&self) -> Option<i64> {
        self.window
    }

    /// A session with no activity for this long is lost, in microseconds.
    pub(crate) fn abandon_after(&self) -> i64 {
        self.abandon_after
    }

    /// A session in flight with activity within this long is active, in microseconds.
    pub(crate) fn active_within(&self) -> i64 {
        self.active_within
    }

    /// Bit k: the stage reached at `stage_at[k]` lies within the horizon of the first.
    pub(super) fn in_horizon(&self, stage_at: &[Option<i64>]) -> u32 {
        let Some(started_at) = stage_at.first().copied().flatten() else { return 0 };
        let within = |at: i64| at - started_at <= self.horizon;
        let stages = stage_at.iter().enumerate();
        stages.fold(
            0,
            |mask, (stage, at)| if at.is_some_and(within) { mask | bit(stage) } else { mask },
        )
    }

    /// Bit k: the session counts as having reached stage k + 1, by its mask by name and its
    /// furthest stage.
    pub(crate) fn reached(&self, by_name: u32, furthest: usize) -> u32 {
        match self.order {
            Order::Unordered => ((1_u64 << furthest) - 1) as u32,
            Order::Ordered | Order::Strict => by_name,
        }
    }

    pub(super) fn unordered(&self) -> bool {
        self.order == Order::Unordered
    }

    /// Number of stages.
    pub(crate) fn count(&self) -> usize {
        self.step_windows.len()
    }

    /// The last instant at which a stage of a session opened at `started_at` counts.
    pub(super) fn window_end(&self, started_at: i64) -> i64 {
        self.window.map_or(i64::MAX, |window| started_at.saturating_add(window))
    }

    /// The last instant at which a stage counts after the stage before it at `previous_at`.
    pub(super) fn step_end(&self, stage: usize, previous_at: i64) -> i64 {
        let window = self.step_windows[stage];
        window.map_or(i64::MAX, |window| previous_at.saturating_add(window))
    }

    /// The required stage after `stage`, both from 0.
    pub(super) fn next_required(&self, stage: usize) -> Option<usize> {
        self.required.iter().copied().find(|&next| next > stage)
    }

    /// In strict order, the first event after the stage reached at `reached_at` that is of the
    /// funnel but neither of that stage nor of the next required one nor of one between them.
    pub(super) fn interruption<M: Mark>(
        &self,
        seen: &[M],
        stage: usize,
        next: usize,
        reached_at: i64,
    ) -> Option<i64> {
        if self.order != Order::Strict {
            return None;
        }
        let allowed = (stage..=next).fold(0, |mask, stage| mask | bit(stage));
        let after = seen.partition_point(|mark| mark.occurred_at() <= reached_at);
        let interrupts = |mark: &&M| mark.stages() != 0 && mark.stages() & allowed == 0;
        seen[after..].iter().find(interrupts).map(Mark::occurred_at)
    }
}

/// The mask of one stage, from 0.
pub(super) fn bit(stage: usize) -> u32 {
    1 << stage
}

/// The earliest event in `[from, until]` that meets `stage` and is not `used`.
///
/// At one instant it is the one that meets the fewest later stages, so that a more useful event is
/// left for them; then the first by (`source`, `id`), which is the order of the slice.
pub(super) fn earliest<M: Mark>(
    seen: &[M],
    stage: usize,
    from: i64,
    until: i64,
    used: &[usize],
) -> Option<usize> {
    let start = seen.partition_point(|mark| mark.occurred_at() < from);
    let mut best: Option<(usize, u32)> = None;
    for (index, mark) in seen.iter().enumerate().skip(start) {
        let later_instant = best.is_some_and(|(at, _)| seen[at].occurred_at() < mark.occurred_at());
        if later_instant || mark.occurred_at() > until {
            break;
        }
        if mark.stages() & bit(stage) == 0 || used.contains(&index) {
            continue;
        }
        let later_stages = ((mark.stages() >> stage) >> 1).count_ones();
        if best.is_none_or(|(_, fewest)| later_stages < fewest) {
            best = Some((index, later_stages));
        }
    }
    best.map(|(index, _)| index)
}

/// Whole seconds as microseconds; beyond the range of time it means "never".
fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}
