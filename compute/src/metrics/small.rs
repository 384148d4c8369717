//! Figures of small made-up populations, one for each sentence that is easy to get wrong.

use std::sync::Arc;

use onramp_schemas::funnel::{Funnel, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::calendar::Unit;
use super::cohorts::Direction;
use super::drop_off::Severity;
use super::{Analysis, Answer, Report, Request, Session, Thresholds, populations};
use crate::fold::{Digest, Rules, fold};
use crate::selection::Selection;
use crate::statistics::multiplicity::benjamini_hochberg;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// Monday 2026-03-02 00:00 UTC, in seconds; the instants below are seconds after it.
const MONDAY: i64 = 1_772_409_600;

fn funnel(extra: &str, optional: &[usize]) -> Funnel {
    let mut text = format!("name = \"f\"\n{extra}\n");
    for stage in 1..=3 {
        let optional = if optional.contains(&stage) { "optional = true" } else { "" };
        text += &format!("[[stages]]\nname = \"S{stage}\"\ntype = \"t\"\n{optional}\n");
    }
    parse(&text, "test").unwrap()
}

/// What happens in a session: stage numbers, `-1` an abandonment, `-2` an error.
type Story = [(i64, i64)];

fn digests(story: &Story) -> Vec<Digest> {
    let digest = |(index, &(second, what)): (usize, &(i64, i64))| Digest {
        id: index as u128,
        occurred_at: (MONDAY + second) * SECOND,
        stages: if what > 0 { 1 << (what - 1) } else { 0 },
        exclusions: u32::from(what == -3),
        abandonment: what == -1,
        error: what == -2,
        activity: true,
        reason: (what == -1).then(|| "bored".into()),
        code: (what == -2).then(|| "E".into()),
    };
    story.iter().enumerate().map(digest).collect()
}

struct World {
    request: Request,
    sessions: Vec<Session>,
}

impl World {
    /// A fortnight from Monday, looked at `as_of` seconds after it.
    fn new(funnel: Funnel, as_of: i64) -> World {
        let at = |second: i64| (MONDAY + second) * SECOND;
        let request = Request {
            funnel,
            as_of: at(as_of),
            from: at(0),
            to: at(14 * DAY),
            timezone: chrono_tz::UTC,
            client_id: None,
            selection: Selection::default(),
            segment_by: Vec::new(),
            compare: None,
            mix_by: None,
            thresholds: Thresholds::default(),
            curves: false,
            convert: None,
            funnel_trend: None,
        };
        World { request, sessions: Vec::new() }
    }

    fn add(&mut self, times: usize, value: Option<&str>, story: &Story) {
        let rules = Rules::new(&self.request.funnel);
        let Some(folded) = fold(&digests(story), &rules, self.request.as_of) else { return };
        let session = Session {
            client_id: "acme".into(),
            session_id: "s".into(),
            attributes: vec![value.map(Arc::from), Some("acme".into())].into(),
            folded,
        };
        self.sessions.extend(std::iter::repeat_n(session, times));
    }

    fn report(&self) -> Report {
        let populations = populations(
            &self.request,
            &["kind".to_owned(), "client_id".to_owned()],
            &self.sessions,
        );
        let (input, positions) = Default::default();
        Report::of(&Analysis::new(&self.request, &populations, &input, &positions))
    }
}

const WON: &Story = &[(0, 1), (10, 2), (20, 3)];
const LOST: &Story = &[(0, 1)];

#[test]
fn nothing_gives_nulls_and_no_panic() {
    let mut world = World::new(funnel("", &[]), 30 * DAY);
    world.request.segment_by = vec!["kind".into(), "nowhere".into()];
    world.request.compare = Some((world.request.from - SECOND, world.request.from));
    world.request.mix_by = Some("kind".into());
    let report = serde_json::to_value(world.report()).unwrap();
    assert_eq!(report["overall_conversion_rate"], Value::Null);
    assert_eq!(report["stages"][1]["from_start"]["rate"], Value::Null);
    assert_eq!(report["stages"][1]["incidence"]["at"][0]["competing"], Value::Null);
    assert_eq!(report["cohort_analysis"].as_array().unwrap().len(), 2);
    assert_eq!(report["trend"]["direction"], "stable");
    assert_eq!(report["segments"]["attributes"], json!({"kind": [], "nowhere": []}));
    assert_eq!(report["comparison"]["mature"]["decomposition"], Value::Null);
    assert_eq!(report["comparison"]["trend"], "stable");
}

#[test]
fn mature_figures_watch_everyone_equally_long() {
    let mut world = World::new(funnel("horizon_seconds = 86400", &[]), 10 * DAY);
    world.add(3, None, WON);
    world.add(1, None, &[(0, 1), (10, 2), (DAY, 3)]);
    world.add(1, None, &[(0, 1), (10, 2), (DAY + 1, 3)]);
    world.add(1, None, &[(9 * DAY, 1), (9 * DAY + 5, 2)]);
    world.add(1, None, &[(9 * DAY + 1, 1), (9 * DAY + 5, 2), (9 * DAY + 6, 3)]);
    let report = world.report();
    let (raw, mature) = (report.overall_conversion.raw, report.overall_conversion.mature);
    assert_eq!((raw.reached, raw.total), (6, 7));
    assert_eq!((mature.reached, mature.total), (4, 6));
}

#[test]
fn orphans_and_exclusions_are_counted_apart() {
    let exclusion = "[[exclusions]]\ntype = \"x\"\nfrom_stage = 1\nto_stage = 3";
    let mut world = World::new(funnel(exclusion, &[]), 10 * DAY);
    world.add(2, None, WON);
    world.add(3, None, &[(0, 1), (5, -3), (10, 2), (20, 3)]);
    world.add(4, None, &[(5, 2)]);
    world.add(5, None, &[(-5, 2)]);
    world.add(6, None, &[(-5, 1)]);
    let report = world.report();
    assert_eq!((report.total_sessions, report.excluded, report.orphan_sessions), (2, 3, 4));
}

#[test]
fn the_worst_stages_come_first() {
    let mut world = World::new(funnel("", &[]), 10 * DAY);
    world.add(40, None, &[(0, 1), (10, 2)]);
    world.add(10, None, LOST);
    world.add(10, None, WON);
    let report = world.report();
    let severities: Vec<_> = report.drop_off.all.iter().map(|stage| stage.severity).collect();
    assert_eq!(severities, [Some(Severity::Low), Some(Severity::Critical)]);
    assert_eq!(report.drop_off.top, [2, 1]);
    assert_eq!(report.top_drop_off_points[0].lost, 40);
    world.sessions.truncate(29);
    assert_eq!(world.report().drop_off.all[1].severity, None, "too few were exposed");
}

#[test]
fn a_skipped_optional_stage_competes() {
    let mut world = World::new(funnel("", &[2]), 10 * DAY);
    world.add(1, None, &[(0, 1), (HOUR, 3)]);
    world.add(1, None, WON);
    let report = world.report();
    let incidence = report.stages[1].incidence.as_ref().unwrap();
    assert_eq!((incidence.reached, incidence.lost, incidence.in_flight), (1, 1, 0));
    let competing: Vec<_> = incidence.at.iter().map(|age| age.competing).collect();
    assert_eq!(competing, [Some(0.0), Some(0.5), Some(0.5), Some(0.5)]);
    assert_eq!(report.stages[2].from_previous.unwrap().total, 2, "of the required stage before");
}

#[test]
fn nobody_watched_long_enough_gives_no_incidence() {
    let mut world = World::new(funnel("", &[]), HOUR);
    world.add(2, None, WON);
    world.request.curves = true;
    let report = world.report();
    let incidence = report.stages[1].incidence.clone().unwrap();
    let values: Vec<_> = incidence.at.iter().map(|age| age.watched.value).collect();
    assert_eq!(values, [Some(1.0), Some(1.0), None, None]);
    assert_eq!(incidence.median.median_seconds, Some(10.0));
    assert_eq!(incidence.curve.unwrap()[0].aalen_johansen, 1.0);
}

#[test]
fn errors_count_at_the_stage_they_happened_in() {
    let mut world = World::new(funnel("", &[]), 10 * DAY);
    world.add(2, None, &[(0, 1), (5, -2), (6, -2)]);
    world.add(2, None, LOST);
    world.add(1, None, &[(0, 1), (10, -2), (10, 2), (15, -1)]);
    world.add(1, None, &[(0, 1), (9, -2), (10, 2), (20, 3)]);
    let patterns = world.report().error_patterns;
    let counts: Vec<_> =
        patterns.iter().map(|p| (p.stage, p.lost_with, p.lost, p.passed_with, p.passed)).collect();
    assert_eq!(counts, [(1, 2, 4, 1, 2), (2, 1, 1, 0, 1)]);
    assert_eq!([patterns[0].lift, patterns[1].lift], [Some(1.0), None]);
    let reasons = world.report().common_reasons;
    let reasons: Vec<_> = reasons.iter().map(|r| (r.reason.as_str(), r.sessions)).collect();
    assert_eq!(reasons, [("E", 2), ("idle", 2), ("bored", 1)]);
}

#[test]
fn weeks_are_local_listed_and_cut() {
    let mut world = World::new(funnel("horizon_seconds = 86400", &[]), 9 * DAY);
    world.request.timezone = chrono_tz::Europe::Berlin;
    world.request.from -= HOUR * SECOND;
    world.add(1, None, &[(-HOUR, 1), (0, 3)]);
    world.add(2, None, &[(7 * DAY - HOUR, 1), (7 * DAY, 2), (7 * DAY + 1, 3)]);
    let report = world.report();
    let weeks: Vec<_> = report
        .cohort_analysis
        .iter()
        .map(|week| (week.week.as_str(), week.sessions, week.partial, week.mature))
        .collect();
    let expected =
        [("2026-W10", 1, false, true), ("2026-W11", 2, true, false), ("2026-W12", 0, true, false)];
    assert_eq!(weeks, expected);
    let ages = &report.cohort_analysis[0].by_age;
    assert_eq!(ages[1].conversion.unwrap().total, 1);
    assert_eq!(ages[2].conversion, None, "not every session is three days old");
    assert_eq!(report.heatmap.iter().map(|cell| cell.hour_of_week).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_falling_conversion_is_declining() {
    let mut world = World::new(funnel("horizon_seconds = 86400", &[]), 80 * DAY);
    world.request.to += 56 * DAY * SECOND;
    for week in 0..8 {
        let start = week * 7 * DAY;
        world.add(
            90 - 8 * week as usize + (week as usize % 2),
            None,
            &[(start, 1), (start + 1, 2), (start + 2, 3)],
        );
        world.add(10 + 8 * week as usize, None, &[(start, 1)]);
    }
    let trend = world.report().trend;
    assert_eq!((trend.weeks, trend.direction), (8, Direction::Declining));
    assert!(trend.slope_per_week.is_some_and(|slope| (-0.09..-0.07).contains(&slope)));
}

/// Adjusted p-values and significances of an attribute's values, as listed.
fn judged(report: &Report, attribute: &str) -> Vec<(Option<String>, Option<f64>, Option<bool>)> {
    let values = &report.segments.as_ref().unwrap().attributes[attribute];
    let judged = values.iter().map(|segment| {
        let judged = segment.mature.against_rest.judged.unwrap();
        (segment.value.clone(), judged.p_adjusted, judged.significant)
    });
    judged.collect()
}

#[test]
fn segments_are_tested_together_where_they_are_large_enough() {
    let mut world = World::new(funnel("", &[]), 60 * DAY);
    world.request.segment_by = vec!["kind".into(), "client_id".into()];
    for (value, won, lost) in
        [(Some("b"), 50, 10), (Some("a"), 20, 40), (Some("tiny"), 1, 28), (None, 40, 40)]
    {
        world.add(won, value, WON);
        world.add(lost, value, LOST);
    }
    let report = world.report();
    let segments = report.segments.as_ref().unwrap();
    assert_eq!(segments.hypotheses, 2, "not the tiny one, not null, not the only client");
    let p = |index: usize| segments.attributes["kind"][index].mature.against_rest.p.unwrap();
    let adjusted = benjamini_hochberg(&[p(0), p(1)]);
    let expected = [
        (Some("a".into()), Some(adjusted[0]), Some(true)),
        (Some("b".into()), Some(adjusted[1]), Some(true)),
        (Some("tiny".into()), None, None),
        (None, None, None),
    ];
    assert_eq!(judged(&report, "kind"), expected);
    let client = &segments.attributes["client_id"][0].mature.against_rest;
    assert_eq!((client.difference, client.p), (None, None), "there is no rest");
}

#[test]
fn two_values_are_one_hypothesis() {
    for other in [Some("b"), None] {
        let mut world = World::new(funnel("", &[]), 60 * DAY);
        world.request.segment_by = vec!["kind".into()];
        for (value, won, lost) in [(Some("a"), 50, 10), (other, 20, 40)] {
            world.add(won, value, WON);
            world.add(lost, value, LOST);
        }
        let report = world.report();
        assert_eq!(report.segments.as_ref().unwrap().hypotheses, 1);
        let judged = judged(&report, "kind");
        assert!(judged[0].1.is_some());
        assert_eq!(judged[1].1, other.and(judged[0].1));
    }
}

#[test]
fn periods_are_compared_from_the_earlier_to_the_later() {
    let mut world = World::new(funnel("", &[]), 60 * DAY);
    let week = 7 * DAY * SECOND;
    world.request.to = world.request.from + week;
    world.request.compare = Some((world.request.from + week, world.request.from + 2 * week));
    world.request.mix_by = Some("kind".into());
    world.add(40, Some("a"), WON);
    world.add(60, Some("b"), LOST);
    let later = |story: &Story| story.iter().map(|(at, k)| (at + 7 * DAY, *k)).collect::<Vec<_>>();
    world.add(80, Some("a"), &later(WON));
    world.add(20, Some("c"), &later(LOST));
    let report = world.report();
    let comparison = report.comparison.as_ref().unwrap();
    assert_eq!((report.total_sessions, comparison.period1.sessions), (100, 100));
    assert_eq!(comparison.trend, Direction::Improving);
    let stages = &comparison.mature.stages;
    assert_eq!(stages[1].from_previous, Some(stages[1].from_start), "one hypothesis");
    assert_eq!(stages[0].from_start.direction, None, "everyone who started started");
    assert_eq!(comparison.raw.stages[2].from_start.p_adjusted, None, "raw is not judged");
    let parts = comparison.mature.decomposition.as_ref().unwrap();
    assert!((parts.mix + parts.rate - parts.change).abs() < 1e-12);
    assert!((parts.change - 0.4).abs() < 1e-12 && parts.rate.abs() < 1e-12, "it is all mix");
}

fn any_story() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0..20 * DAY, -3..4_i64), 1..8).prop_map(|mut story| {
        story.sort_unstable();
        story
    })
}

proptest! {
    #[test]
    fn a_report_depends_on_the_set_of_sessions_only(
        stories in prop::collection::vec((any_story(), 0_usize..3), 1..40),
        turn in 0_usize..40,
        optional in prop::option::of(Just(2_usize)),
        as_of in DAY..25 * DAY,
    ) {
        let extra = "abandon_after_seconds = 7200\nhorizon_seconds = 172800";
        let mut world = World::new(funnel(extra, optional.as_slice()), as_of);
        world.request.segment_by = vec!["kind".into()];
        world.request.compare = Some((world.request.to, world.request.to + 7 * DAY * SECOND));
        world.request.mix_by = Some("kind".into());
        world.request.funnel_trend = Some(Unit::Week);
        for (story, value) in &stories {
            world.add(1, [None, Some("a"), Some("b")][*value], story);
        }
        let one = serde_json::to_string(&world.report()).unwrap();
        let turn = turn % world.sessions.len().max(1);
        world.sessions.rotate_left(turn);
        world.sessions.reverse();
        prop_assert_eq!(serde_json::to_string(&world.report()).unwrap(), one);
        check_sums(&world.report())?;
        check_times(&world)?;
    }
}

/// What must add up in every report.
fn check_sums(report: &Report) -> Result<(), TestCaseError> {
    let total = report.total_sessions;
    prop_assert_eq!(report.completed + report.abandoned + report.in_flight, total);
    let weeks: u64 = report.cohort_analysis.iter().map(|week| week.sessions).sum();
    prop_assert_eq!(weeks, total);
    let kinds = &report.segments.as_ref().unwrap().attributes["kind"];
    prop_assert_eq!(kinds.iter().map(|segment| segment.sessions).sum::<u64>(), total);
    let reasons: u64 = report.common_reasons.iter().map(|reason| reason.sessions).sum();
    prop_assert_eq!(reasons, report.abandoned);
    let lost: u64 = report.drop_off.all.iter().map(|stage| stage.lost).sum();
    prop_assert_eq!(lost, report.abandoned);
    for stage in &report.drop_off.all {
        let cells = report.heatmap.iter().filter(|cell| cell.stage == stage.stage);
        let (lost, passed) = cells.fold((0, 0), |sum, c| (sum.0 + c.lost, sum.1 + c.passed));
        prop_assert_eq!((lost, passed), (stage.lost, stage.passed));
    }
    Ok(())
}

/// A trend by week says what the weekly cohorts say, and bins hold the times that are in them.
fn check_times(world: &World) -> Result<(), TestCaseError> {
    let report = world.report();
    let buckets = &report.funnel_trend.as_ref().unwrap().buckets;
    prop_assert_eq!(buckets.len(), report.cohort_analysis.len());
    for (bucket, week) in buckets.iter().zip(&report.cohort_analysis) {
        prop_assert_eq!((bucket.date, bucket.sessions), (week.monday, week.sessions));
        prop_assert_eq!((bucket.partial, bucket.mature), (week.partial, week.mature));
        prop_assert_eq!((&bucket.stages, bucket.in_flight), (&week.stages, week.in_flight));
        prop_assert_eq!(bucket.mature_conversion, week.mature_conversion);
    }
    let period = world.request.from..world.request.to;
    let took = |session: &Session| {
        let folded = &session.folded;
        let started_at = folded.started_at().filter(|at| period.contains(at))?;
        Some(folded.stage_at[2].filter(|_| !folded.excluded)? - started_at)
    };
    let times: Vec<i64> = world.sessions.iter().filter_map(took).collect();
    for bin in &report.time_to_convert.bins {
        let end = bin.to_seconds.unwrap_or(i64::MAX / SECOND) * SECOND;
        let within = times.iter().filter(|&&time| bin.from_seconds * SECOND <= time && time < end);
        prop_assert_eq!(within.count() as u64, bin.sessions, "{:?}", bin);
    }
    prop_assert_eq!(times.len() as u64, report.time_to_convert.sessions);
    Ok(())
}
