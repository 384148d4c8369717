//! Agreement with SciPy, statsmodels, lifelines and NumPy to 1e-9.

use serde_json::Value;

use super::competing::competing;
use super::decomposition::kitagawa;
use super::distribution::{normal_two_sided, student_two_sided};
use super::incidence::incidence;
use super::multiplicity::benjamini_hochberg;
use super::properties::{Ending, Observation, Sorted};
use super::proportion::Proportion;
use super::quantile::summary;
use super::rank::mann_whitney;
use super::trend::{Point, weighted_slope};

fn golden(part: &str) -> Value {
    let text = include_str!("golden.json");
    serde_json::from_str::<Value>(text).unwrap()[part].take()
}

fn cases(part: &str) -> Vec<Value> {
    golden(part).as_array().unwrap().clone()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    let slack = (1e-9 * expected.abs()).max(1e-300);
    assert!((found - expected).abs() <= slack, "found {found}, expected {expected}");
}

/// For differences of nearly equal numbers, of which nobody knows more than this.
#[track_caller]
fn near(found: f64, expected: f64) {
    let slack = (1e-9 * expected.abs()).max(1e-12);
    assert!((found - expected).abs() <= slack, "found {found}, expected {expected}");
}

fn proportions(case: &Value) -> (Proportion, Proportion) {
    let counts: Vec<u64> = integers(&case["counts"]).iter().map(|&v| v as u64).collect();
    (Proportion::new(counts[0], counts[1]), Proportion::new(counts[2], counts[3]))
}

#[test]
fn tails_agree_with_scipy() {
    let tails = golden("tails");
    for case in tails["normal"].as_array().unwrap() {
        let [z, p] = floats(case)[..] else { panic!("two values") };
        close(normal_two_sided(z), p);
    }
    for case in tails["student"].as_array().unwrap() {
        let [t, degrees, p] = floats(case)[..] else { panic!("three values") };
        close(student_two_sided(t, degrees), p);
    }
}

#[test]
fn proportions_agree_with_statsmodels() {
    for case in cases("proportions") {
        let (one, other) = proportions(&case);
        let wilson = one.wilson().unwrap();
        let [low, high] = floats(&case["wilson"])[..] else { panic!("two limits") };
        near(wilson.low, low);
        near(wilson.high, high);
        let found = one.minus(other).unwrap();
        let [low, high] = floats(&case["newcombe"])[..] else { panic!("two limits") };
        near(found.interval.low, low);
        near(found.interval.high, high);
        near(found.z, case["z"].as_f64().unwrap_or(0.0));
        close(found.p, case["p"].as_f64().unwrap_or(1.0));
    }
}

#[test]
fn wilson_limits_are_exact_at_the_ends_and_absent_of_nothing() {
    assert_eq!(Proportion::new(0, 12).wilson().unwrap().low, 0.0);
    assert_eq!(Proportion::new(12, 12).wilson().unwrap().high, 1.0);
    assert_eq!(Proportion::new(0, 0).wilson(), None);
    assert_eq!(Proportion::new(0, 0).minus(Proportion::new(1, 2)), None);
}

#[test]
fn adjusted_p_values_agree_with_statsmodels() {
    for case in cases("multiplicity") {
        let found = benjamini_hochberg(&floats(&case["p"]));
        for (found, expected) in found.into_iter().zip(floats(&case["adjusted"])) {
            close(found, expected);
        }
    }
    assert_eq!(benjamini_hochberg(&[]), Vec::<f64>::new());
}

#[test]
fn quantiles_agree_with_numpy() {
    for case in cases("quantiles") {
        let found = summary(&integers(&case["micros"])).unwrap();
        close(found.mean, case["mean"].as_f64().unwrap());
        let all = [found.p25, found.median, found.p75, found.p90, found.p99];
        for (found, expected) in all.into_iter().zip(floats(&case["percentiles"])) {
            close(found, expected);
        }
    }
    assert_eq!(summary(&[]), None);
}

#[test]
fn incidence_agrees_with_lifelines() {
    for case in cases("survival") {
        let events = case["event"].as_array().unwrap();
        let kinds = events.iter().map(|v| match v.as_bool().unwrap() {
            true => Ending::Event,
            false => Ending::Censored,
        });
        let observations: Vec<Observation> =
            integers(&case["times"]).into_iter().zip(kinds).collect();
        let sorted = Sorted::of(&observations);
        for row in case["at"].as_array().unwrap() {
            let found = incidence(sorted.watched(), &[row[0].as_i64().unwrap()]).at[0];
            near(found.value, row[1].as_f64().unwrap());
            let Some(interval) = found.interval else { continue };
            close(interval.low, row[2].as_f64().unwrap());
            close(interval.high, row[3].as_f64().unwrap());
        }
        let found = incidence(sorted.watched(), &[]).median;
        let expected = |value: &Value| value.as_f64().map(|v| v as i64);
        assert_eq!(found.median, expected(&case["median"]));
        let mut ends = [expected(&case["ends"][0]), expected(&case["ends"][1])];
        ends.sort_by_key(|end| end.unwrap_or(i64::MAX));
        assert_eq!([found.low, found.high], ends);
    }
}

#[test]
fn incidence_has_no_interval_at_its_ends() {
    let all = Sorted::of(&[(3, Ending::Event), (5, Ending::Event)]);
    let all = incidence(all.watched(), &[2, 3, 5]);
    assert_eq!((all.at[0].value, all.at[0].interval), (0.0, None));
    assert!(all.at[1].interval.is_some());
    assert_eq!((all.at[2].value, all.at[2].interval), (1.0, None));
    assert_eq!(all.median.median, Some(3));
    let tie = Sorted::of(&[(3, Ending::Censored), (3, Ending::Event)]);
    let tie = incidence(tie.watched(), &[3]).at[0];
    assert_eq!(tie.value, 0.5, "the censored subject is at risk at its last instant");
    assert_eq!(incidence(Sorted::default().watched(), &[]).median, Default::default());
}

#[test]
fn competing_incidence_agrees_with_lifelines() {
    for case in cases("competing") {
        let kinds = integers(&case["kind"]).into_iter().map(|kind| match kind {
            0 => Ending::Censored,
            1 => Ending::Event,
            _ => Ending::Competing,
        });
        let observations: Vec<Observation> =
            integers(&case["times"]).into_iter().zip(kinds).collect();
        let sorted = Sorted::of(&observations);
        for row in case["at"].as_array().unwrap() {
            let time = row[0].as_i64().unwrap();
            let (found, other) = competing(sorted.competed(), &[time])[0];
            near(found.value, row[1].as_f64().unwrap());
            near(other, row[4].as_f64().unwrap());
            let Some(interval) = found.interval else { continue };
            close(interval.low, row[2].as_f64().unwrap());
            close(interval.high, row[3].as_f64().unwrap());
        }
    }
}

#[test]
fn both_kinds_share_one_risk_set_at_ties() {
    let by_one =
        |observations: &[Observation]| competing(Sorted::of(observations).competed(), &[1])[0];
    let tied =
        [(1, Ending::Event), (1, Ending::Competing), (1, Ending::Censored), (2, Ending::Event)];
    let (first, other) = by_one(&tied);
    assert_eq!((first.value, other), (0.25, 0.25));
    let (all, _) = by_one(&[(1, Ending::Event)]);
    assert_eq!((all.value, all.interval), (1.0, None));
    let (none, _) = by_one(&[(1, Ending::Competing)]);
    assert_eq!((none.value, none.interval), (0.0, None));
}

#[test]
fn ranks_agree_with_scipy() {
    for case in cases("ranks") {
        let (first, second) = (integers(&case["first"]), integers(&case["second"]));
        let found = mann_whitney(&first, &second).unwrap();
        assert_eq!(found.u, case["u"].as_f64().unwrap());
        close(found.p, case["p"].as_f64().unwrap());
    }
    assert_eq!(mann_whitney(&[], &[1]), None);
}

#[test]
fn slopes_agree_with_statsmodels() {
    for case in cases("trends") {
        let rows = case["points"].as_array().unwrap().iter().map(integers);
        let points = rows.map(|row| Point {
            position: row[0],
            reached: row[1] as u64,
            total: row[2] as u64,
        });
        let found = weighted_slope(&points.collect::<Vec<_>>()).unwrap();
        close(found.slope, case["slope"].as_f64().unwrap());
        close(found.p.unwrap(), case["p"].as_f64().unwrap());
    }
}

#[test]
fn an_exact_line_has_a_slope_and_no_p() {
    let point = |position, reached| Point { position, reached, total: 10 };
    let exact = weighted_slope(&[point(5, 1), point(6, 2), point(8, 4)]).unwrap();
    close(exact.slope, 0.1);
    assert_eq!(exact.p, None);
    assert_eq!(weighted_slope(&[point(5, 1), point(6, 2)]), None);
}

#[test]
fn parts_of_a_change_sum_to_it() {
    let case = golden("decomposition");
    let rows = case["groups"].as_array().unwrap().iter().map(integers);
    let groups: Vec<_> = rows
        .map(|row| row.iter().map(|&v| v as u64).collect::<Vec<_>>())
        .map(|row| (Proportion::new(row[0], row[1]), Proportion::new(row[2], row[3])))
        .collect();
    let parts = kitagawa(&groups).unwrap();
    for (index, part) in parts.iter().enumerate() {
        near(part.mix, case["mix"][index].as_f64().unwrap());
        near(part.rate, case["rate"][index].as_f64().unwrap());
    }
    let sum: f64 = parts.iter().map(|part| part.mix + part.rate).sum();
    near(sum, case["change"].as_f64().unwrap());
    assert_eq!(kitagawa(&[(Proportion::new(0, 0), Proportion::new(1, 2))]), None);
}
