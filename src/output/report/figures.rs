//! Numbers for people.

use onramp_compute::metrics::rates::Rate;

/// Eighths of a character cell.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A share of `width` characters, to an eighth of one; something is always seen of what is not 0.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    if whole == 0 || part == 0 {
        return String::new();
    }
    let all = width as u128 * 8;
    let eighths = (u128::from(part) * all / u128::from(whole)).clamp(1, all) as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// `46.2 %`; a dash where there is nothing to divide by.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// A rate with its interval, `46.2 % (45.2–47.2)`.
pub fn interval(rate: &Rate) -> String {
    let share = percent(rate.rate);
    match (rate.low, rate.high) {
        // Everyone by definition: an interval would only be noise.
        _ if rate.reached == rate.total => share,
        (Some(low), Some(high)) => format!("{share} ({:.1}–{:.1})", 100.0 * low, 100.0 * high),
        _ => share,
    }
}

/// A difference of shares in percentage points, `+3.4 pp`.
pub fn points(difference: f64) -> String {
    format!("{:+.1} pp", 100.0 * difference)
}

/// `850 ms`, `24 s`, `3.2 min`, `1.4 h`, `7 d`.
pub fn duration(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s < 1.0 => (format!("{:.0}", 1_000.0 * s), "ms"),
        s if s < 90.0 => (format!("{s:.0}"), "s"),
        s if s < 5_400.0 => (format!("{:.1}", s / 60.0), "min"),
        s if s < 129_600.0 => (format!("{:.1}", s / 3_600.0), "h"),
        s => (format!("{:.1}", s / 86_400.0), "d"),
    };
    format!("{} {unit}", number.trim_end_matches(".0"))
}
