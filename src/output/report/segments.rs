//! Segments: who converts differently.

use onramp_compute::metrics::segments::{Segment, Segments};

use super::figures::{interval, percent, points};
use super::{drawn, plain, right};
use crate::output::count;

/// The most values of an attribute that are listed.
const VALUES: usize = 12;

/// Each attribute's values with their raw and mature conversion and how they differ from the rest.
pub fn text(segments: &Segments) -> String {
    let mut text = String::new();
    for (attribute, values) in &segments.attributes {
        let mut table =
            plain([attribute.as_str(), "sessions", "converted", "mature", "against the rest", ""]);
        for segment in most_frequent(values) {
            let last = segment.raw.stages.last();
            let mature = segment.mature.stages.last();
            table.add_row([
                segment.value.clone().unwrap_or_else(|| "(none)".to_owned()),
                count(segment.sessions),
                percent(last.and_then(|stage| stage.from_start.rate)),
                mature.map_or_else(String::new, |stage| interval(&stage.from_start)),
                segment.mature.against_rest.difference.map_or_else(String::new, points),
                judgement(segment),
            ]);
        }
        right(&mut table, [1, 2, 3, 4]);
        text += &format!("\n{}", drawn(&table));
        if values.len() > VALUES {
            text += &format!("and {} values more (--format json has all)\n", values.len() - VALUES);
        }
    }
    text
}

/// The values with the most sessions, those first.
fn most_frequent(values: &[Segment]) -> Vec<&Segment> {
    let mut values: Vec<&Segment> = values.iter().collect();
    values.sort_by_key(|segment| std::cmp::Reverse(segment.sessions));
    values.truncate(VALUES);
    values
}

fn judgement(segment: &Segment) -> String {
    let Some(judged) = segment.mature.against_rest.judged else { return String::new() };
    match (judged.significant, judged.p_adjusted) {
        (Some(true), Some(p)) if p < 0.001 => "significant, p < 0.001".to_owned(),
        (Some(true), Some(p)) => format!("significant, p = {p:.3}"),
        _ => String::new(),
    }
}
