//! The funnel by day, week or month.

use onramp_compute::metrics::calendar::Unit;
use onramp_compute::metrics::funnel_trend::{FunnelTrend, TrendBucket};

use super::figures::{bar, interval, percent};
use super::{BAR, drawn, plain, right};
use crate::output::count;

/// Every bucket with its raw and mature conversion; those that are not complete are marked.
pub fn text(trend: &FunnelTrend) -> String {
    let unit = match trend.unit {
        Unit::Day => "day",
        Unit::Week => "week of",
        Unit::Month => "month of",
    };
    let mut table = plain([unit, "", "sessions", "converted", "mature", ""]);
    let most = trend.buckets.iter().map(|bucket| bucket.sessions).max().unwrap_or(0);
    for bucket in &trend.buckets {
        table.add_row([
            bucket.date.to_string(),
            bar(bucket.sessions, most, BAR),
            count(bucket.sessions),
            percent(bucket.stages.last().and_then(|last| last.from_start.rate)),
            interval(&bucket.mature_conversion),
            mark(bucket).to_owned(),
        ]);
    }
    right(&mut table, [2, 3, 4]);
    format!("\n{}", drawn(&table))
}

fn mark(bucket: &TrendBucket) -> &'static str {
    match (bucket.partial, bucket.mature) {
        (true, _) => "incomplete",
        (false, false) => "not mature yet",
        (false, true) => "",
    }
}
