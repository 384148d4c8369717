//! Looking for a pattern in the events of a group.

use datafusion::common::{Result, exec_err};

use super::super::events::Event;
use super::pattern::{Comparison, Pattern, Step};

/// Steps that one search may take, ClickHouse's number: patterns with times can need very many.
const MOST_STEPS: usize = 1_000_000;

/// A choice to come back to: the step, the event to go on from, and the event that times count from.
#[derive(Clone, Copy)]
struct Choice {
    step: usize,
    event: usize,
    base: usize,
}

impl Pattern {
    /// Whether the pattern is in the events, which come in their order.
    ///
    /// # Errors
    /// When there are too many ways to try.
    pub fn is_in(&self, events: &[Event]) -> Result<bool> {
        if !self.possible(events) {
            return Ok(false);
        }
        match self.steps.iter().any(|step| matches!(step, Step::Time(..))) {
            true => Ok(self.search(events, 0)?.0),
            false => Ok(self.is_in_untimed(events)),
        }
    }

    /// How often the pattern is in the events, one match beginning after the one before.
    ///
    /// # Errors
    /// When there are too many ways to try.
    pub fn count(&self, events: &[Event]) -> Result<i64> {
        let (mut count, mut event) = (0, 0);
        if !self.possible(events) {
            return Ok(0);
        }
        while event < events.len() {
            let (found, end) = self.search(events, event)?;
            if !found {
                break;
            }
            count += 1;
            event = end;
        }
        Ok(count)
    }

    /// Whether every condition that the pattern names is met at all.
    fn possible(&self, events: &[Event]) -> bool {
        let met = events.iter().fold(0, |met, event| met | event.conditions);
        self.named & !met == 0
    }

    /// Without times all ways are followed at once: `active` are the steps that may come next.
    fn is_in_untimed(&self, events: &[Event]) -> bool {
        // Steps that take an event, each with whether events may be passed over before it.
        let mut takers = vec![(None, false)];
        for &step in &self.steps {
            let last = takers.len() - 1;
            match step {
                Step::Many => takers[last].1 = true,
                taker => {
                    takers[last].0 = Some(taker);
                    takers.push((None, false));
                }
            }
        }
        let end = takers.len() - 1;
        let mut active = vec![false; takers.len()];
        active[0] = true;
        for event in events {
            if active[end] {
                return true;
            }
            // From the last on, so that an event is taken by one step only.
            for index in (0..end).rev() {
                if !active[index] {
                    continue;
                }
                let (taker, passes) = takers[index];
                let takes = match taker {
                    Some(Step::Event(condition)) => event.conditions >> condition & 1 == 1,
                    _ => true,
                };
                active[index] = passes;
                active[index + 1] |= takes;
            }
        }
        active[end]
    }

    /// Looks for the pattern from an event on, by trying and going back; gives where it ended.
    fn search(&self, events: &[Event], start: usize) -> Result<(bool, usize)> {
        let mut choices: Vec<Choice> = Vec::new();
        let mut now = Choice { step: 0, event: start, base: start };
        let mut tried = 0;
        while now.step < self.steps.len() && now.event < events.len() {
            let event = events[now.event];
            let go_on = match self.steps[now.step] {
                Step::Event(condition) if event.conditions >> condition & 1 == 0 => {
                    back(&mut choices, &mut now, events.len())
                }
                Step::Event(_) | Step::Any => {
                    now = Choice { step: now.step + 1, event: now.event + 1, base: now.event };
                    true
                }
                Step::Time(comparison, ticks)
                    if !comparison.holds(&events[now.base], &event, ticks) =>
                {
                    pass_over(comparison, &mut choices, &mut now, events.len())
                }
                Step::Many | Step::Time(..) => {
                    choices.push(now);
                    now = Choice { step: now.step + 1, event: now.event, base: now.event };
                    true
                }
            };
            if !go_on {
                break;
            }
            tried += 1;
            if tried > MOST_STEPS {
                return exec_err!(
                    "{}: a group of {} events needs more than {MOST_STEPS} steps for this pattern; \
                     make it simpler or the groups smaller",
                    self.function,
                    events.len()
                );
            }
        }
        let left = self.steps[now.step..].iter().find(|step| !matches_nothing(**step));
        Ok((left.is_none(), now.event.max(start + 1)))
    }
}

/// A time that is not long enough yet may be at a later event, one that is too long cannot.
fn pass_over(
    comparison: Comparison,
    choices: &mut Vec<Choice>,
    now: &mut Choice,
    end: usize,
) -> bool {
    if matches!(comparison, Comparison::AtMost | Comparison::Less) {
        return back(choices, now, end);
    }
    now.event += 1;
    now.event < end || back(choices, now, end)
}

/// Goes back to the last choice and passes over one more event; `false`: no choice is left.
fn back(choices: &mut Vec<Choice>, now: &mut Choice, end: usize) -> bool {
    while let Some(choice) = choices.pop() {
        *now = Choice { event: choice.event + 1, ..choice };
        if now.event < end {
            return true;
        }
    }
    false
}

/// Whether a step needs no event at the end of a pattern.
fn matches_nothing(step: Step) -> bool {
    match step {
        Step::Event(_) | Step::Any => false,
        Step::Many => true,
        Step::Time(Comparison::AtMost | Comparison::Less, _) => true,
        Step::Time(comparison, ticks) => comparison == Comparison::AtLeast && ticks == 0,
    }
}

impl Comparison {
    fn holds(self, from: &Event, to: &Event, ticks: u64) -> bool {
        let passed = to.at.wrapping_sub(from.at).cast_unsigned();
        match self {
            Comparison::AtMost => passed <= ticks,
            Comparison::Less => passed < ticks,
            Comparison::AtLeast => passed >= ticks,
            Comparison::More => passed > ticks,
            Comparison::Equal => passed == ticks,
        }
    }
}
