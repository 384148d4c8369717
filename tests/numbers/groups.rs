//! Figures that set sessions against each other: weeks, segments, periods.

use std::collections::BTreeSet;

use chrono::{Datelike, Days, NaiveDate, TimeZone};
use serde_json::{Map, Value, json};

use super::figures::{Basis, Frame, durations, midnight};
use super::model::{Fate, Session};
use super::statistics::{
    Counts, benjamini_hochberg, difference, mann_whitney, quantile, rate, slope,
};
use super::world::{DAY, SEGMENTS};

impl Frame<'_> {
    /// Weekly cohorts of the sessions of a period, and their trend.
    pub fn cohorts(&self, sessions: &[&Session], from: i64, to: i64) -> Value {
        let local = |at: i64| -> NaiveDate {
            self.zone.timestamp_micros(at).single().expect("an instant").date_naive()
        };
        let first = local(from);
        let mut monday = first - Days::new(u64::from(first.weekday().num_days_from_monday()));
        let (mut weeks, mut points, mut index) = (Vec::new(), Vec::new(), 0_i64);
        while monday <= local(to - 1) {
            let span = midnight(monday, self.zone)..midnight(monday + Days::new(7), self.zone);
            let starts = |it: &&&Session| it.started().is_some_and(|at| span.contains(&at));
            let cohort: Vec<&Session> = sessions.iter().filter(starts).copied().collect();
            let partial = span.start < from || span.end > to || span.end > self.as_of;
            let end = span.end.min(to);
            let is_mature = end + self.funnel.horizon() <= self.as_of;
            let converted = self.conversion(Basis::Mature, &cohort);
            if is_mature && !partial && converted.1 > 0 {
                points.push((index, converted.0, converted.1));
            }
            let mut week = self.week(&cohort, end);
            week["week"] =
                format!("{}-W{:02}", monday.iso_week().year(), monday.iso_week().week()).into();
            week["monday"] = monday.to_string().into();
            week["index"] = index.into();
            week["partial"] = partial.into();
            week["mature"] = is_mature.into();
            week["mature_conversion"] = rate(converted);
            weeks.push(week);
            monday = monday + Days::new(7);
            index += 1;
        }
        let (slope, p) = slope(&points);
        let direction = match (slope, p) {
            (Some(slope), Some(p)) if p <= 0.05 && slope > 0.0 => "improving",
            (Some(_), Some(p)) if p <= 0.05 => "declining",
            _ => "stable",
        };
        json!({
            "weeks": weeks,
            "trend_mature": {"slope": slope, "p": p, "points": points.len(), "direction": direction},
        })
    }

    fn week(&self, cohort: &[&Session], end: i64) -> Value {
        let stage = |stage: usize| {
            let reached = cohort.iter().filter(|it| it.t[stage].is_some()).count();
            beside("stage", stage + 1, rate((reached, cohort.len())))
        };
        let age = |days: i64| match self.as_of >= end + days * DAY {
            true => {
                let cell = rate((self.within_days(cohort, days), cohort.len()));
                beside("age_days", days as usize, cell)
            }
            false => json!({"age_days": days, "rate": null}),
        };
        let ages = [1, 2, 3, 4, 5, 6, 7, 14, 21, 28];
        let in_flight = |it: &&&Session| matches!(it.fate, Fate::InFlight { .. });
        json!({
            "sessions": cohort.len(),
            "in_flight": cohort.iter().filter(in_flight).count(),
            "stages": (0..self.stages()).map(stage).collect::<Vec<_>>(),
            "median_seconds_to_complete": quantile(&durations(cohort, 0, self.stages() - 1), 0.5),
            "by_age": ages.map(age),
        })
    }

    pub fn segments(&self, sessions: &[&Session]) -> Value {
        let mut attributes = Map::new();
        // Each hypothesis with the places that show its result.
        let mut hypotheses: Vec<(f64, Vec<(&str, usize)>)> = Vec::new();
        for name in SEGMENTS {
            let values = values(sessions, name);
            let (mut rows, mut tested) = (Vec::new(), Vec::new());
            for (place, value) in values.iter().enumerate() {
                let (own, rest): (Vec<&Session>, Vec<&Session>) =
                    sessions.iter().partition(|it| it.attributes[name] == *value);
                let figures = |basis: Basis| {
                    let counts = [&own, &rest].map(|side| self.conversion(basis, side));
                    json!({
                        "stages": self.stage_rates(basis, &own),
                        "against_rest": difference(counts[0], counts[1]),
                    })
                };
                let mut mature = figures(Basis::Mature);
                mature["against_rest"]["p_adjusted"] = Value::Null;
                mature["against_rest"]["significant"] = Value::Null;
                let counts = [&own, &rest].map(|side| self.conversion(Basis::Mature, side).1);
                if value.is_some() && counts.iter().all(|&count| count >= 30) {
                    let p = mature["against_rest"]["p"].as_f64().expect("both sides have some");
                    tested.push((p, vec![(name, place)]));
                }
                rows.push(json!({
                    "value": value, "sessions": own.len(), "raw": figures(Basis::Raw),
                    "mature": mature,
                }));
            }
            if values.len() == 2 && tested.len() == 2 {
                tested = vec![(tested[0].0, vec![(name, 0), (name, 1)])];
            }
            hypotheses.extend(tested);
            attributes.insert(name.to_owned(), rows.into());
        }
        let p: Vec<f64> = hypotheses.iter().map(|hypothesis| hypothesis.0).collect();
        for (adjusted, (_, shown)) in benjamini_hochberg(&p).into_iter().zip(&hypotheses) {
            for (name, place) in shown {
                let against = &mut attributes[*name][*place]["mature"]["against_rest"];
                against["p_adjusted"] = adjusted.into();
                against["significant"] = (adjusted <= 0.05).into();
            }
        }
        json!({"attributes": attributes, "family_size": {"mature": hypotheses.len()}})
    }

    /// `before` and `after` are the populations of the earlier and the later period.
    pub fn comparison(&self, before: &[&Session], after: &[&Session], mix_by: &str) -> Value {
        let basis = |basis: Basis| {
            json!({
                "stages": self.compared(before, after, basis),
                "decomposition": {mix_by: self.decomposition(before, after, mix_by, basis)},
            })
        };
        let mut mature = basis(Basis::Mature);
        let stages = mature["stages"].as_array_mut().expect("a list");
        self.judge(stages);
        let trend = &stages[self.stages() - 1]["from_start"]["direction"];
        mature["trend"] = if trend.is_null() { "stable".into() } else { trend.clone() };
        let shift = |from: usize, to: usize| {
            let sides = [before, after].map(|side| durations(side, from, to));
            let medians = [&sides[0], &sides[1]].map(|side| quantile(side, 0.5));
            let change = medians[1].as_f64().zip(medians[0].as_f64()).map(|(b, a)| b - a);
            json!({
                "median_before": medians[0], "median_after": medians[1], "difference": change,
                "mann_whitney_before": mann_whitney(&sides[0], &sides[1]),
            })
        };
        let times = |stage: usize| {
            json!({
                "stage": stage + 1, "time_to_stage": shift(0, stage),
                "step_time": shift(self.funnel.previous(stage), stage),
            })
        };
        json!({
            "sessions_before": before.len(), "sessions_after": after.len(),
            "raw": basis(Basis::Raw), "mature": mature,
            "times": (1..self.stages()).map(times).collect::<Vec<_>>(),
        })
    }

    fn compared(&self, before: &[&Session], after: &[&Session], basis: Basis) -> Vec<Value> {
        let counts = [before, after].map(|side| self.stage_counts(basis, side));
        let rates = [before, after].map(|side| self.stage_rates(basis, side));
        let stage = |stage: usize| {
            let mut row = json!({
                "stage": stage + 1, "before": rates[0][stage], "after": rates[1][stage],
                "from_start": difference(counts[1][stage][0], counts[0][stage][0]),
            });
            if stage > 0 {
                row["from_previous"] = difference(counts[1][stage][1], counts[0][stage][1]);
            }
            row
        };
        (0..self.stages()).map(stage).collect()
    }

    /// One family: from-start rates and step rates, a step from the first stage being the former.
    fn judge(&self, stages: &mut [Value]) {
        let mut family: Vec<(f64, Vec<(usize, &str)>)> = Vec::new();
        for (stage, row) in stages.iter().enumerate().skip(1) {
            let mut both = ["from_start", "from_previous"]
                .map(|rate| row[rate]["p"].as_f64().map(|p| (p, vec![(stage, rate)])));
            if self.funnel.previous(stage) == 0
                && let [Some((_, shown)), second] = &mut both
            {
                shown.push((stage, "from_previous"));
                *second = None;
            }
            family.extend(both.into_iter().flatten());
        }
        let p: Vec<f64> = family.iter().map(|hypothesis| hypothesis.0).collect();
        for (adjusted, (_, shown)) in benjamini_hochberg(&p).into_iter().zip(family) {
            for (stage, rate) in shown {
                let change = &mut stages[stage][rate];
                let up = change["difference"].as_f64().is_some_and(|difference| difference > 0.0);
                let direction = match adjusted <= 0.05 {
                    true if up => "improving",
                    true => "declining",
                    false => "stable",
                };
                change["p_adjusted"] = adjusted.into();
                change["direction"] = direction.into();
            }
        }
    }

    fn decomposition(
        &self,
        before: &[&Session],
        after: &[&Session],
        name: &str,
        basis: Basis,
    ) -> Value {
        let held = |side: &[&'_ Session]| -> Vec<Counts> { vec![self.conversion(basis, side)] };
        let (all1, all2) = (held(before)[0], held(after)[0]);
        if all1.1 == 0 || all2.1 == 0 {
            return Value::Null;
        }
        let ratio = |counts: Counts| counts.0 as f64 / counts.1 as f64;
        let middle = (ratio(all1) + ratio(all2)) / 2.0;
        let everyone: Vec<&Session> =
            before.iter().chain(after).filter(|it| self.holds(basis, it)).copied().collect();
        let (mut groups, mut mix, mut own) = (Vec::new(), 0.0, 0.0);
        for value in values(&everyone, name) {
            let of = |side: &[&Session]| {
                let members = side.iter().filter(|it| it.attributes[name] == value);
                self.conversion(basis, &members.copied().collect::<Vec<_>>())
            };
            let (one, two) = (of(before), of(after));
            let first = if one.1 == 0 { ratio(two) } else { ratio(one) };
            let second = if two.1 == 0 { ratio(one) } else { ratio(two) };
            let weights = [one.1 as f64 / all1.1 as f64, two.1 as f64 / all2.1 as f64];
            let part_mix = (weights[1] - weights[0]) * ((first + second) / 2.0 - middle);
            let part_rate = (weights[0] + weights[1]) / 2.0 * (second - first);
            mix += part_mix;
            own += part_rate;
            groups.push(json!({"value": value, "mix": part_mix, "rate": part_rate}));
        }
        json!({"change": ratio(all2) - ratio(all1), "mix": mix, "rate": own, "groups": groups})
    }
}

fn beside(name: &str, number: usize, mut rate: Value) -> Value {
    rate[name] = number.into();
    rate
}

/// The values of an attribute by their bytes, null last.
fn values(sessions: &[&Session], name: &str) -> Vec<Option<String>> {
    let values: BTreeSet<_> = sessions
        .iter()
        .map(|it| (it.attributes[name].is_none(), it.attributes[name].clone()))
        .collect();
    values.into_iter().map(|(_, value)| value).collect()
}
