//! Conditions over events.

use arrow::array::AsArray;
use datafusion::prelude::SessionContext;
use onramp_schemas::funnel::Types;

use super::*;
use crate::sessions::fixture::{Event, batch, event};

fn context() -> SessionContext {
    let context = SessionContext::new();
    register(&context);
    context
}

fn condition(predicate: &str) -> Condition {
    Condition { event_type: None, predicate: Some(predicate.into()) }
}

/// For each event whether the condition holds.
fn holds(condition: &Condition, events: &[Event]) -> Vec<bool> {
    let context = context();
    let compiler = Compiler::new(&context, "test").unwrap();
    let expr = compiler.condition(condition, "stage 1 (\"One\")").unwrap();
    let physical = context.create_physical_expr(expr, &compiler.schema).unwrap();
    let rows = batch(events, 0);
    let result = physical.evaluate(&rows).unwrap().into_array(rows.num_rows()).unwrap();
    result.as_boolean().iter().map(|held| held.expect("a condition is never NULL")).collect()
}

fn refusal(predicate: &str) -> String {
    let context = context();
    let compiler = Compiler::new(&context, "test").unwrap();
    compiler.condition(&condition(predicate), "stage 2 (\"Two\")").unwrap_err().to_string()
}

fn payloads(payloads: &[&str]) -> Vec<Event> {
    payloads.iter().enumerate().map(|(row, data)| event("s", "x.y", row as i64, data)).collect()
}

#[test]
fn null_does_not_match_and_can_be_asked_for() {
    let events = payloads(&[
        r#"{"meaningful":true}"#,
        r#"{"meaningful":false}"#,
        r#"{"meaningful":null}"#,
        "{}",
        "",
    ]);
    for text in ["meaningful IS NOT FALSE", "meaningful is not False", "MEANINGFUL IS NOT FALSE"] {
        assert_eq!(holds(&condition(text), &events), [true, false, true, true, true], "{text}");
    }
    assert_eq!(holds(&condition("meaningful"), &events), [true, false, false, false, false]);
    assert_eq!(holds(&condition("NOT meaningful"), &events), [false, true, false, false, false]);
    let outcomes = payloads(&[r#"{"outcome":"failed"}"#, r#"{"outcome":"fine"}"#, "{}"]);
    assert_eq!(
        holds(&condition("outcome IS DISTINCT FROM 'failed'"), &outcomes),
        [false, true, true]
    );
    assert_eq!(holds(&condition("outcome <> 'failed'"), &outcomes), [false, true, false]);
    assert_eq!(holds(&condition("NULL"), &outcomes), [false; 3]);
}

#[test]
fn types_and_predicate_must_both_hold() {
    let mut events = payloads(&[r#"{"count":1}"#, r#"{"count":5}"#, r#"{"count":5}"#]);
    events[2].kind = "x.z".into();
    let types = |types: Types, predicate: Option<&str>| Condition {
        event_type: Some(types),
        predicate: predicate.map(Into::into),
    };
    assert_eq!(holds(&types(Types::One("x.y".into()), None), &events), [true, true, false]);
    assert_eq!(
        holds(&types(Types::One("x.y".into()), Some("count > 2")), &events),
        [false, true, false]
    );
    let both = Types::Many(vec!["x.y".into(), "x.z".into()]);
    assert_eq!(holds(&types(both, Some("count > 2")), &events), [false, true, true]);
}

#[test]
fn other_names_read_the_payload() {
    let events = payloads(&[
        r#"{"plan":"pro","Seats":12.5,"beta":true,"tags":["a","b"],"note":"it's"}"#,
        r#"{"plan":"a\u0062c","Seats":"many","beta":null}"#,
        r#"{"plan":null,"Seats":7}"#,
        "",
    ]);
    assert_eq!(holds(&condition("plan = 'pro'"), &events), [true, false, false, false]);
    assert_eq!(holds(&condition("plan = 'abc'"), &events), [false, true, false, false]);
    assert_eq!(holds(&condition("plan IS NULL"), &events), [false, false, true, true]);
    assert_eq!(holds(&condition("Seats > 7"), &events), [true, false, false, false]);
    assert_eq!(
        holds(&condition("Seats >= 7 AND Seats <= 12.5"), &events),
        [true, false, true, false]
    );
    assert_eq!(
        holds(&condition("CAST(Seats AS DOUBLE) < 10"), &events),
        [false, false, true, false]
    );
    assert_eq!(holds(&condition("beta = 'true'"), &events), [true, false, false, false]);
    assert_eq!(holds(&condition(r#"tags = '["a","b"]'"#), &events), [true, false, false, false]);
    assert_eq!(
        holds(&condition("note = 'it''s' OR data.plan LIKE 'a%'"), &events),
        [true, true, false, false]
    );
    assert_eq!(
        holds(&condition("json_get(data, 'plan') IN ('pro', 'abc')"), &events),
        [true, true, false, false]
    );
    assert_eq!(holds(&condition(r#""Seats" = '7'"#), &events), [false, false, true, false]);
    assert_eq!(
        holds(&condition("length(plan) = 3 AND occurred_at < '1970-01-02T00:00:00Z'"), &events),
        [true, true, false, false]
    );
}

#[test]
fn refusals_name_the_place_and_the_mending() {
    let message = refusal("outcome = ");
    assert!(message.starts_with(r#"funnel "test", stage 2 ("Two"): "#), "{message}");
    assert!(message.ends_with("in: outcome = "), "{message}");
    for (predicate, part) in [
        ("1 + 1", "not a condition"),
        ("outcome", "not a condition"),
        ("plan", "not a condition"),
        ("count(*) > 1", "is an aggregate"),
        ("row_number() OVER () = 1", "is a window function"),
        ("outcome IN (SELECT 1)", "subqueries are not allowed"),
        ("EXISTS (SELECT 1)", "subqueries are not allowed"),
        ("(SELECT true)", "subqueries are not allowed"),
        ("random() < 0.5", "another result each time"),
        ("now() > occurred_at", "another result each time"),
        ("meaningful; DROP TABLE events", "unexpected"),
        ("events.outcome = 'x'", "no column of events"),
        ("nosuch(outcome)", "nosuch"),
    ] {
        let message = refusal(predicate);
        assert!(message.contains(part), "{predicate}: {message}");
    }
}

#[tokio::test]
async fn json_get_is_there_for_everybody() {
    let context = context();
    let rows = context
        .sql(r#"SELECT json_get('{"a":{"b":1},"a":2.50}', 'a'), json_get('[1]', 'a'), json_get(NULL, 'a'), json_get('{"a":"\u00e9"}', 'a')"#)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let text = |column: usize| {
        rows[0].column(column).as_string::<i32>().iter().next().unwrap().map(str::to_owned)
    };
    assert_eq!(
        (text(0), text(1), text(2), text(3)),
        (Some("2.50".into()), None, None, Some("é".into()))
    );
}

#[test]
fn scalars_are_the_fields_that_json_get_gives() {
    let json = r#"{"b":"x","n":1.0,"t":false,"z":null,"o":{"p":1},"l":[1],"b":"y"}"#;
    let expected = [("n", "1.0"), ("t", "false"), ("b", "y")];
    assert_eq!(scalars(json), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(scalars("[1]").is_empty() && scalars("").is_empty());
}
