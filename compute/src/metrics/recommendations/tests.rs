//! Rules over made-up worlds: with nothing in them nothing is recommended, with an effect it is.

use onramp_schemas::funnel::{Funnel, parse};

use super::*;
use crate::fold::{Digest, Rules, Session, fold};
use crate::metrics::{Analysis, Answer, Report, Thresholds, populations};
use crate::selection::Selection;

const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
const STAGES: usize = 4;
/// Length of a period.
const PERIOD: i64 = 14 * DAY;

fn funnel() -> Funnel {
    let stage = |number: usize| format!("[[stages]]\nname = \"S{number}\"\ntype = \"t\"\n");
    let stages: String = (1..=STAGES).map(stage).collect();
    parse(&format!("name = \"f\"\nactive_within_seconds = 1800\n{stages}"), "test").unwrap()
}

/// Vigna's SplitMix64.
struct Dice(u64);

impl Dice {
    /// Uniform in [0, 1).
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.roll() < probability
    }

    fn exponential(&mut self, mean: i64) -> i64 {
        (-(1.0 - self.roll()).ln() * mean as f64) as i64
    }
}

/// What is planted into the later period of a world.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    Nothing,
    /// Fewer pass the second step.
    Step,
    /// The second step takes three times as long.
    Slow,
    /// Whoever meets the error E passes less often.
    Error,
    /// Sessions of kind a pass every step less often.
    Segment,
    /// Half of those who stall do not come back.
    Stalled,
    /// Twice as many sessions lack a start.
    Orphans,
    /// One event in a hundred repeats an id.
    Conflicts,
}

/// A world of two periods, each of so many sessions, looked at when all are mature.
fn world(dice: &mut Dice, sessions: usize, effect: Effect) -> Report {
    let funnel = funnel();
    let rules = Rules::new(&funnel);
    let pass = 0.6 + 0.3 * dice.roll();
    let request = Request {
        funnel,
        as_of: 2 * PERIOD + 7 * DAY,
        from: PERIOD,
        to: 2 * PERIOD,
        timezone: chrono_tz::UTC,
        client_id: None,
        selection: Selection::default(),
        segment_by: vec!["kind".into(), "device".into()],
        compare: None,
        mix_by: None,
        thresholds: Thresholds::default(),
        curves: false,
        convert: None,
        funnel_trend: None,
    };
    let mut all = Vec::with_capacity(2 * sessions);
    for number in 0..2 * sessions {
        let period = if number < sessions { 0 } else { 1 };
        let effect = if period == 1 { effect } else { Effect::Nothing };
        let started_at = period * PERIOD + (dice.roll() * PERIOD as f64) as i64;
        let kind = if dice.chance(0.4) { "a" } else { "b" };
        let device = ["x", "y", "z"][(3.0 * dice.roll()) as usize];
        let digests = story(dice, (started_at, pass), kind, effect);
        let folded = fold(&digests, &rules, request.as_of).unwrap();
        let attributes = [Some(kind.into()), Some(device.into())].into();
        let (client_id, session_id) = ("acme".into(), number.to_string().into());
        all.push(Session { client_id, session_id, attributes, folded });
    }
    let input = Input {
        events: 10_000,
        duplicates: 100,
        conflicting_duplicates: if effect == Effect::Conflicts { 100 } else { 5 },
        after_as_of: 0,
    };
    let populations = populations(&request, &["kind".to_owned(), "device".to_owned()], &all);
    Report::of(&Analysis::new(&request, &populations, &input, &Default::default()))
}

/// One session's events.
fn story(
    dice: &mut Dice,
    (started_at, pass): (i64, f64),
    kind: &str,
    effect: Effect,
) -> Vec<Digest> {
    let lacks_start = dice.chance(if effect == Effect::Orphans { 0.3 } else { 0.15 });
    let mut digests = Vec::new();
    let mut at = started_at;
    if !lacks_start {
        digests.push(digest(at, 1, None));
    }
    for stage in 2..=STAGES {
        let code = dice.chance(0.3).then(|| if dice.chance(0.5) { "E" } else { "F" });
        digests.extend(code.map(|code| digest(at + SECOND, 0, Some(code))));
        let stalls = dice.chance(0.4);
        let hurt = match effect {
            Effect::Step if stage == 3 => 0.7,
            Effect::Error if code == Some("E") => 0.5,
            Effect::Segment if kind == "a" => 0.85,
            Effect::Stalled if stalls => 0.5,
            _ => 1.0,
        };
        if !dice.chance(pass * hurt) {
            break;
        }
        let slower = if effect == Effect::Slow && stage == 3 { 3 } else { 1 };
        let pause = if stalls { 1_800 * SECOND + dice.exponential(3_600 * SECOND) } else { 0 };
        at += 2 * SECOND + slower * (dice.exponential(60 * SECOND) + pause);
        digests.push(digest(at, stage, None));
    }
    if digests.is_empty() {
        digests.push(digest(at, 2, None));
    }
    digests
}

fn digest(at: i64, stage: usize, code: Option<&str>) -> Digest {
    Digest {
        id: at as u128,
        occurred_at: at,
        stages: if stage > 0 { 1 << (stage - 1) } else { 0 },
        exclusions: 0,
        abandonment: false,
        error: code.is_some(),
        activity: true,
        reason: None,
        code: code.map(Into::into),
    }
}

#[test]
fn of_a_thousand_worlds_without_any_effect_hardly_one_recommends_anything() {
    let mut dice = Dice(15);
    let worlds = (0..1_000).map(|_| world(&mut dice, 300, Effect::Nothing));
    let mistaken = worlds.filter(|report| !report.recommendations.is_empty()).count();
    println!("{mistaken} of 1000 worlds without an effect recommend something");
    assert!(mistaken <= 50, "{mistaken} of 1000");
}

#[test]
fn every_planted_effect_is_found_by_its_rule() {
    let planted = [
        (Effect::Step, &[Kind::StageDropOff, Kind::Regression][..]),
        (Effect::Slow, &[Kind::SlowStage]),
        (Effect::Error, &[Kind::ErrorDrivenDropOff]),
        (Effect::Segment, &[Kind::SegmentGap, Kind::ConversionOptimization]),
        (Effect::Stalled, &[Kind::AbandonmentRecovery]),
        (Effect::Orphans, &[Kind::DataQuality]),
        (Effect::Conflicts, &[Kind::DataQuality]),
    ];
    for (effect, kinds) in planted {
        let report = world(&mut Dice(1), 4_000, effect);
        let found: Vec<Kind> = report.recommendations.iter().map(|it| it.kind).collect();
        for kind in kinds {
            assert!(found.contains(kind), "{effect:?} gives {found:?}, not {kind:?}");
        }
        check(&report);
    }
}

/// What holds for every list of recommendations.
fn check(report: &Report) {
    let gains = report.recommendations.iter().map(|it| it.estimated_impact.expected);
    assert!(gains.is_sorted_by(|one, other| one >= other));
    for it in &report.recommendations {
        let Impact { expected, low, high, .. } = it.estimated_impact;
        assert!(0.0 <= low && low <= expected + 1e-12 && expected <= high, "{it:#?}");
        assert!(it.significance.p <= it.significance.p_adjusted, "{it:#?}");
        assert!(it.significance.p_adjusted <= 0.05 && !it.evidence.is_empty(), "{it:#?}");
    }
    let example = |it: &&Recommendation| it.kind == Kind::ConversionOptimization;
    let mut stages: Vec<_> =
        report.recommendations.iter().filter(example).map(|it| it.stage).collect();
    stages.sort_unstable();
    assert!(stages.windows(2).all(|pair| pair[0] != pair[1]), "one example a step");
}

#[test]
fn the_previous_period_is_as_long_and_ends_where_the_period_starts() {
    assert_eq!(previous_period(100, 130), (70, 100));
    assert_eq!(previous_period(i64::MIN, i64::MAX), (i64::MIN, i64::MIN));
}
