//! The report as people read it on a terminal, at most 100 columns wide.

mod comparison;
mod figures;
mod recommendations;
mod segments;
mod trend;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};
use onramp_compute::metrics::drop_off::{DropOffStage, Severity};
use onramp_compute::metrics::{Instant, Report, StageReport};

use super::{Sheet, count};
use crate::instant;
use figures::{bar, duration, interval, percent};

/// The widest line.
const WIDTH: u16 = 100;
/// Characters of a full bar.
const BAR: usize = 10;
/// Reasons that are listed.
const REASONS: usize = 6;

/// The whole report as text.
pub fn terminal(report: &Report) -> String {
    let mut text = header(report);
    text += &stages(report);
    text += &mature(report);
    text += &losses(report);
    if let Some(found) = &report.funnel_trend {
        text += &trend::text(found);
    }
    if let Some(found) = &report.segments {
        text += &segments::text(found);
    }
    if let Some(found) = &report.comparison {
        text += &comparison::text(found, &report.period.timezone);
    }
    text += &recommendations::text(&report.recommendations);
    text += &quality(report);
    text
}

/// The stages, and what to do, as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = sheet(report).markdown();
    if !report.recommendations.is_empty() {
        text += &format!("\n{}", recommendations::sheet(&report.recommendations).markdown());
    }
    text
}

fn header(report: &Report) -> String {
    let zone = &report.period.timezone;
    let local = |at: Instant| instant::local(at.0, zone);
    let mut text = format!(
        "Funnel {} · {} to {} · as of {} ({zone})\n",
        report.funnel,
        local(report.period.from),
        local(report.period.to),
        local(report.as_of),
    );
    text += &format!(
        "{} sessions: {} completed ({}), {} abandoned, {} in flight ({} active)",
        count(report.total_sessions),
        count(report.completed),
        percent(report.overall_conversion_rate),
        count(report.abandoned),
        count(report.in_flight),
        count(report.active),
    );
    for (number, what) in
        [(report.excluded, "excluded"), (report.orphan_sessions, "without a start")]
    {
        if number > 0 {
            text += &format!(", {} {what}", count(number));
        }
    }
    text + "\n\n"
}

fn stages(report: &Report) -> String {
    let mut table = plain(["#", "stage", "", "sessions", "from start", "step", "median step"]);
    let most = report.stages.first().map_or(0, |first| first.count);
    for stage in &report.stages {
        let name =
            if stage.optional { format!("{} (optional)", stage.name) } else { stage.name.clone() };
        table.add_row([
            stage.stage.to_string(),
            name,
            bar(stage.count, most, BAR),
            count(stage.count),
            interval(&stage.from_start),
            stage.from_previous.as_ref().map_or_else(String::new, interval),
            stage.step_time.and_then(|time| time.median_seconds).map_or_else(String::new, duration),
        ]);
    }
    right(&mut table, [0, 3, 4, 5, 6]);
    // Figures stay whole: if a line is too long, it is the name that is broken.
    for column in [0, 2, 3, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    drawn(&table)
}

fn mature(report: &Report) -> String {
    let rate = &report.overall_conversion.mature;
    let horizon = duration(report.horizon_seconds as f64);
    match rate.total {
        0 => {
            format!("\nNo session has been watched for {horizon} yet; all rates are provisional.\n")
        }
        total => format!(
            "\nMature: {} of the {} sessions watched for {horizon} completed within it.\n",
            interval(rate),
            count(total)
        ),
    }
}

fn losses(report: &Report) -> String {
    if report.top_drop_off_points.is_empty() {
        return String::new();
    }
    let mut table = plain(["after", "lost", "of", "drop-off", "severity"]);
    for point in &report.top_drop_off_points {
        table.add_row([
            point.name.clone(),
            count(point.lost),
            count(point.exposed),
            drop_off(point),
            severity(point.severity).to_owned(),
        ]);
    }
    right(&mut table, [1, 2, 3]);
    let mut text = format!("\nWhere sessions are lost\n{}", drawn(&table));
    let reasons = report.common_reasons.iter().take(REASONS);
    let reasons = reasons.map(|reason| format!("{} {}", reason.reason, count(reason.sessions)));
    text += &listed("reasons:", reasons);
    text
}

fn drop_off(point: &DropOffStage) -> String {
    let share = percent(point.rate);
    match (point.low, point.high) {
        (Some(low), Some(high)) => format!("{share} ({:.1}–{:.1})", 100.0 * low, 100.0 * high),
        _ => share,
    }
}

fn severity(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Critical) => "critical",
        Some(Severity::High) => "high",
        Some(Severity::Medium) => "medium",
        Some(Severity::Low) => "low",
        None => "too few to say",
    }
}

fn quality(report: &Report) -> String {
    let input = &report.data_quality;
    format!(
        "\nData: {} events, {} duplicates ({} of them differing), {} later than the as-of instant.\n\
         Intervals are 95 % and take sessions as independent; those of one person are not.\n\
         `onramp report --reproduce {}` gives this report again.\n",
        count(input.events),
        count(input.duplicates),
        count(input.conflicting_duplicates),
        count(input.after_as_of),
        report.report_id,
    )
}

/// Parts between commas after a label, broken into lines of the greatest width.
fn listed(label: &str, parts: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut line = label.to_owned();
    for part in parts {
        if line.chars().count() + part.chars().count() + 2 > usize::from(WIDTH) {
            text += &format!("{line}\n");
            line = " ".repeat(label.len());
        }
        line += &format!(" {part},");
    }
    match line.strip_suffix(',') {
        Some(last) => text + last + "\n",
        None => String::new(),
    }
}

/// The stages as data.
pub fn sheet(report: &Report) -> Sheet {
    let mut sheet = Sheet::new([
        "stage",
        "name",
        "optional",
        "sessions",
        "from_start",
        "from_start_low",
        "from_start_high",
        "step",
        "step_low",
        "step_high",
        "mature_from_start",
        "mature_step",
        "median_step_seconds",
    ])
    .right([0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    for stage in &report.stages {
        sheet.row(cells(stage));
    }
    sheet
}

fn cells(stage: &StageReport) -> [String; 13] {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let step = stage.from_previous;
    [
        stage.stage.to_string(),
        stage.name.clone(),
        stage.optional.to_string(),
        stage.count.to_string(),
        number(stage.from_start.rate),
        number(stage.from_start.low),
        number(stage.from_start.high),
        number(step.and_then(|rate| rate.rate)),
        number(step.and_then(|rate| rate.low)),
        number(step.and_then(|rate| rate.high)),
        number(stage.mature.from_start.rate),
        number(stage.mature.from_previous.and_then(|rate| rate.rate)),
        number(stage.step_time.and_then(|time| time.median_seconds)),
    ]
}

fn plain<const N: usize>(headers: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(headers);
    table
}

fn right(table: &mut Table, columns: impl IntoIterator<Item = usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn drawn(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
