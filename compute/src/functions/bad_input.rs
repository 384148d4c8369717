//! Calls that have no answer say why; sizes and numbers at the edge are answered.

use datafusion::prelude::SessionContext;

use super::tests::rows;
use crate::engine::{Engine, Options};

const FROM: &str = "FROM (VALUES (1, true, 1.5)) AS v(t, a, x)";

fn scratch() -> SessionContext {
    Engine::new(&Options::default()).unwrap().scratch()
}

async fn refusal(context: &SessionContext, statement: &str) -> String {
    let answer = async { context.sql(statement).await?.collect().await };
    answer.await.expect_err(statement).strip_backtrace()
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let context = scratch();
    let many = |count: usize| vec!["a"; count].join(", ");
    for (call, part) in [
        ("window_funnel()".to_owned(), "window_funnel"),
        ("window_funnel(9, '', t)".to_owned(), "at least one condition"),
        (format!("window_funnel(9, '', t, {})", many(65)), "1 to 64 conditions, not 65"),
        ("window_funnel(9, '', t, a, t)".to_owned(), "condition 2 is of type Int64, not BOOLEAN"),
        ("window_funnel(-1, '', t, a)".to_owned(), "the window is negative (-1)"),
        ("window_funnel(t, '', t, a)".to_owned(), "argument 1 must be a constant"),
        ("window_funnel(NULL::BIGINT, '', t, a)".to_owned(), "argument 1 must be a constant"),
        ("window_funnel(1.5, '', t, a)".to_owned(), "a whole number or an INTERVAL"),
        ("window_funnel('9', '', t, a)".to_owned(), "a whole number or an INTERVAL"),
        ("window_funnel(INTERVAL '1 day', '', t, a)".to_owned(), "so the window must be one too"),
        ("window_funnel(INTERVAL '1 month', '', to_timestamp(t), a)".to_owned(), "no fixed length"),
        (
            "window_funnel(INTERVAL '-1 day', '', to_timestamp(t), a)".to_owned(),
            "the window is negative",
        ),
        ("window_funnel(9, 'strict', t, a)".to_owned(), "\"strict\" is no mode; modes are strict_"),
        ("window_funnel(9, 'strict_once,', t, a)".to_owned(), "\"\" is no mode"),
        ("window_funnel(9, 'allow_reentry', t, a)".to_owned(), "only with strict_order"),
        ("window_funnel(9, a::VARCHAR, t, a)".to_owned(), "argument 2 must be a constant"),
        ("window_funnel(9, 9, t, a)".to_owned(), "where a text must be"),
        (
            "window_funnel(9, '', x, a)".to_owned(),
            "it must be a timestamp, a date or a whole number",
        ),
        ("window_funnel(9, '', 'NaN'::DOUBLE, a)".to_owned(), "it must be a timestamp"),
        ("window_funnel(DISTINCT 9, '', t, a)".to_owned(), "takes no DISTINCT"),
        ("funnel_steps(t)".to_owned(), "at least one condition"),
        (format!("funnel_steps(t, {})", many(33)), "1 to 32 conditions, not 33"),
        ("funnel_steps(t, a, 'mode=loose')".to_owned(), "\"mode=loose\" is no option"),
        ("funnel_steps(t, a, 'window=1y')".to_owned(), "the window \"1y\" is no whole number"),
        ("funnel_steps(t, a, 'window=-1d')".to_owned(), "the window \"-1d\" is no whole number"),
        ("funnel_steps(t, a, 'window=1d')".to_owned(), "so the window must be one too"),
        ("funnel_steps(t, a, a::VARCHAR)".to_owned(), "argument 3 must be a constant"),
        ("funnel_steps(t, a, 5)".to_owned(), "where a text must be"),
        ("time_to_convert(t, a)".to_owned(), "2 conditions, not 1"),
        ("time_to_convert(t, a, a, a)".to_owned(), "2 conditions, not 3"),
        ("time_to_convert(t, a, a, -5)".to_owned(), "the window is negative"),
        ("retention(t)".to_owned(), "condition 1 is of type Int64"),
        (format!("retention({})", many(65)), "1 to 64 conditions, not 65"),
        ("sequence_match('(?1)x', t, a)".to_owned(), "at position 4 of the pattern '(?1)x'"),
        ("sequence_match('(?1', t, a)".to_owned(), "at position 3 of"),
        ("sequence_match('(?2)', t, a)".to_owned(), "there is no condition 2, only 1 to 1"),
        ("sequence_match('.(?0)', t, a)".to_owned(), "at position 1 of"),
        ("sequence_match('(?1)(?t=3)', t, a)".to_owned(), "at position 7 of"),
        ("sequence_match('(?1)(?t<=)', t, a)".to_owned(), "at position 9 of"),
        ("sequence_match('(?99999999999999999999)', t, a)".to_owned(), "below 2^64"),
        ("sequence_match('(?1)(?t<2)(?t>1)', t, a)".to_owned(), "a time stands after a time"),
        ("sequence_match('(?1)ä', t, a)".to_owned(), "at position 4 of"),
        ("sequence_count(a::VARCHAR, t, a)".to_owned(), "argument 1 must be a constant"),
        ("wilson_lower(1)".to_owned(), "takes successes and n"),
        ("wilson_lower(x, 9)".to_owned(), "whole numbers"),
        ("wilson_upper('NaN'::DOUBLE, 9)".to_owned(), "whole numbers, not Float64"),
        ("conversion_rate(t, 0)".to_owned(), "1 of 0 is no proportion"),
        ("conversion_rate(3, 2)".to_owned(), "3 of 2 is no proportion"),
        ("wilson_upper(-1, 2)".to_owned(), "-1 of 2 is no proportion"),
        ("wilson_lower(0, -2)".to_owned(), "0 of -2 is no proportion"),
    ] {
        let statement = format!("SELECT {call} {FROM}");
        let message = refusal(&context, &statement).await;
        assert!(message.contains(part), "{call}: {message}");
    }
}

#[tokio::test]
async fn as_many_conditions_as_fit_are_taken() {
    let context = scratch();
    let conditions: Vec<String> = (0..64).map(|stage| format!("t = {stage}")).collect();
    let conditions = conditions.join(", ");
    let from = "FROM (SELECT value AS t FROM generate_series(0, 63)) AS v";
    for (call, answer) in [
        (format!("window_funnel(63, '', t, {conditions})"), "64"),
        (format!("window_funnel(62, '', t, {conditions})"), "63"),
        (format!("window_funnel(63, 'strict_once,strict_order', t, {conditions})"), "64"),
        (format!("array_length(retention({conditions}))"), "64"),
        (format!("sequence_match('(?1).*(?64)', t, {conditions})"), "true"),
    ] {
        assert_eq!(rows(&context, &format!("SELECT {call} {from}")).await, [answer], "{call}");
    }
}

#[tokio::test]
async fn half_a_proportion_is_null() {
    let context = scratch();
    let statement = "SELECT wilson_lower(s, n), wilson_upper(s, n), conversion_rate(s, n) \
        FROM (VALUES (0, 0), (NULL, 2), (1, NULL), (0, 2), (2, 2)) AS v(s, n)";
    let found = rows(&context, statement).await;
    assert!(found[..3].iter().all(|row| row.replace([' ', '|'], "").is_empty()), "{found:?}");
    assert!(found[3].starts_with("0.0 ") && found[3].ends_with("| 0.0"), "{found:?}");
    assert!(found[4].contains("| 1.0 ") && found[4].ends_with("| 1.0"), "{found:?}");
    assert_eq!(rows(&context, "SELECT wilson_lower(NULL, NULL)").await, [""]);
}

/// 50,000 events that meet one condition, two, and – at one instant – all.
#[tokio::test]
async fn a_group_of_50_000_events_is_answered() {
    let context = scratch();
    let from = "FROM (SELECT value AS t FROM generate_series(1, 50000)) AS v";
    for (call, answer) in [
        ("window_funnel(9, '', t, t % 2 = 1, t % 2 = 0, t = 50000)", "3"),
        ("window_funnel(50000, 'strict_once', t, t > 0, t > 0, t > 0, t < 0)", "3"),
        ("window_funnel(0, 'strict_once', 1, t > 0, t > 0, t > 0, t > 0, t < 0)", "4"),
        (
            "window_funnel(0, 'strict_once,strict_deduplication', 1, t > 0, t = 9, t > 0, t < 0)",
            "3",
        ),
        ("window_funnel(0, 'strict_once,strict_increase', 1, t > 0, t > 0, t < 0)", "1"),
        ("window_funnel(9, 'strict_order', t, t = 1, t = 2, t = 4)", "2"),
        ("sequence_count('(?1)(?2)', t, t % 2 = 1, t % 2 = 0)", "25000"),
        ("sequence_match('(?1).*(?1)(?1)', t, t % 2 = 1, t % 2 = 0)", "false"),
        ("funnel_steps(t, t > 0, t = 25000, t = 50000)", "[1, 25000, 50000]"),
        ("funnel_steps(t, t > 0, t > 0, t > 0, 'mode=unordered')", "[1, 2, 3]"),
        ("time_to_convert(t, t > 0, t = 50000)", "49999.0"),
    ] {
        assert_eq!(rows(&context, &format!("SELECT {call} {from}")).await, [answer], "{call}");
    }
    let endless =
        format!("SELECT sequence_match('(?1)(?t<=40000).*(?1)(?t>1)(?2)', t, t > 0, t = 1) {from}");
    let message = refusal(&context, &endless).await;
    assert!(message.contains("needs more than 1000000 steps"), "{message}");
}
