use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use onramp_compute::Engine;
use onramp_compute::engine::Options;

use super::*;

fn context() -> SessionContext {
    let context = Engine::new(&Options::default()).unwrap().scratch();
    bound(&context).unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("äb"), None, Some("")]));
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(1), None]));
    let rows = RecordBatch::try_from_iter([("t", texts), ("n", counts)]).unwrap();
    context.register_batch("rows", rows).unwrap();
    context
}

async fn answer(context: &SessionContext, statement: &str) -> Result<String, String> {
    let frame = context.sql(statement).await.map_err(|error| error.to_string())?;
    let rows = frame.collect().await.map_err(|error| error.to_string())?;
    Ok(pretty_format_batches(&rows).unwrap().to_string())
}

#[tokio::test]
async fn within_bounds_every_function_answers_as_it_did() {
    let plain = Engine::new(&Options::default()).unwrap().scratch();
    let context = context();
    let rows = context.table_provider("rows").await.unwrap();
    plain.register_table("rows", rows).unwrap();
    for expression in [
        "repeat(t, n)",
        "repeat('xy', 3)",
        "lpad(t, 5, 'xy')",
        "rpad(t, n)",
        "replace(t, 'b', 'cc')",
        "regexp_replace(t, '(b)', '[\\1]', 'g')",
        "concat(t, '-', t)",
        "concat_ws('-', t, 'x')",
        "t || '-' || t",
        "'a' || NULL",
        "t || n",
        "[1, 2] || [3]",
        "make_array(t, 'x')",
        "array_repeat(t, 2)",
        "range(n)",
        "generate_series(3, 9, 3)",
        "generate_series(DATE '2026-03-01', DATE '2026-03-03', INTERVAL '1 day')",
        "levenshtein(t, 'abc')",
        "translate(t, 'b', 'c')",
    ] {
        let statement = format!("SELECT {expression} AS it FROM rows");
        assert_eq!(
            answer(&context, &statement).await,
            answer(&plain, &statement).await,
            "{expression}"
        );
    }
    let series = "SELECT count(*) AS n, sum(value) AS s FROM generate_series(1, 1000)";
    assert_eq!(answer(&context, series).await, answer(&plain, series).await);
}

#[tokio::test]
async fn what_would_fill_the_memory_is_refused_before_it_is_made() {
    let context = context();
    for expression in [
        "repeat('x', 1000000000)",
        "repeat(t, n * 1000000000)",
        "lpad(t, 2000000000)",
        "rpad('x', 2000000000, 'yz')",
        "replace(repeat('a', 60000), 'a', repeat('b', 60000))",
        "regexp_replace(repeat('a', 60000), '', repeat('b', 60000), 'g')",
        "range(0, 1000000000000)",
        "generate_series(TIMESTAMP '1700-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second')",
        "array_repeat(repeat('x', 60000), 1000000)",
        "array_resize([1], 1000000000, 0)",
        "levenshtein(repeat('x', 60000), repeat('y', 60000))",
    ] {
        let refused =
            answer(&context, &format!("SELECT {expression} FROM rows")).await.unwrap_err();
        assert!(refused.contains("may be made"), "{expression}: {refused}");
    }
    let doubled = (1..40).fold("WITH c0 AS (SELECT t AS s FROM rows)".to_owned(), |text, at| {
        format!("{text}, c{at} AS (SELECT s || s AS s FROM c{})", at - 1)
    });
    let doubled = format!("{doubled} SELECT s FROM c39");
    let refused = answer(&context, &doubled).await.unwrap_err();
    assert!(refused.contains("may be made"), "{refused}");
    for from in ["generate_series(1, 100000000000)", "range(1, 9000000000000000000)"] {
        let refused = answer(&context, &format!("SELECT count(*) FROM {from}")).await.unwrap_err();
        assert!(refused.contains("rows, at most 1000000 may be made"), "{refused}");
    }
}

#[tokio::test]
async fn percentiles_are_linear_between_order_statistics() {
    let context = context();
    let asked = "SELECT percentile_cont(x, 0.9) AS a, percentile_cont(0.9) WITHIN GROUP (ORDER BY x DESC) AS b, \
        percentile_cont(x, 0) AS c, percentile_cont(x, 1) AS d, percentile_cont(x, 0.5) FILTER (WHERE x < 0) AS e \
        FROM (VALUES (3.0), (1.0), (NULL), (7.0), (2.0)) AS v(x)";
    let text = answer(&context, asked).await.unwrap();
    // 3 + 4 · 0.7, and 1 + 1 · 0.3: the sums of binary fractions.
    assert!(text.contains("| 5.800000000000001 | 1.2999999999999998 | 1.0 | 7.0 |   |"), "{text}");
    assert!(answer(&context, "SELECT percentile_cont(n, 1.5) FROM rows").await.is_err());
}

#[tokio::test]
async fn rows_that_are_large_together_come_in_pieces() {
    let context = context();
    // By its bound each value could have 200 × 1,000 bytes and more, and none has: 8,192 of them fit.
    let grown = "SELECT count(*) AS n, sum(length(regexp_replace(repeat('ab', 100), 'b$', repeat('c', 1000)))) \
        AS s FROM generate_series(1, 8192)";
    let from_rows = grown.replace("repeat('ab', 100)", "repeat('ab', 100 + value % 2)");
    let text = answer(&context, &from_rows).await.unwrap();
    assert!(text.contains("| 8192 | 9830400 |"), "{text}");
}
