//! Turns a report, as the program writes it, into the shape of the expected documents.

use serde_json::{Map, Value, json};

/// The report in the names and the nesting of `expected/*.json`.
///
/// `call` holds the arguments of the report. What a funnel or a call does not ask for (exclusions,
/// segments, a comparison) stands in the result where it says something or `expected` lists it.
pub fn mapped(report: &Value, call: &Value, expected: &Value) -> Value {
    let mut document = json!({
        "funnel": report["funnel"],
        "as_of": report["as_of"],
        "period": [report["period"]["from"], report["period"]["to"]],
        "input": report["data_quality"],
        "sessions": report["total_sessions"],
        "orphan_sessions": report["orphan_sessions"],
        "completed": report["completed"],
        "abandoned": report["abandoned"],
        "in_flight": report["in_flight"],
        "active": report["active"],
        "reached_by_name": each(&report["stages"], |stage| stage["reached_by_name"].clone()),
        "raw": {
            "sessions": report["total_sessions"],
            "overall": rate(&report["overall_conversion"]["raw"]),
            "stages": each(&report["stages"], stage_rates),
        },
        "mature": {
            "sessions": report["overall_conversion"]["mature"]["total"],
            "overall": rate(&report["overall_conversion"]["mature"]),
            "stages": each(&report["stages"], mature_rates),
        },
        "times": each(&tail(&report["stages"]), times),
        "drop_off": drop_off(&report["drop_off"]["all"], &report["drop_off"]["top"]),
        "drop_off_mature": drop_off(&report["drop_off"]["mature"], &report["drop_off"]["top_mature"]),
        "heatmap": each(&report["heatmap"], heatmap_cell),
        "error_patterns": report["error_patterns"],
        "time_analysis": each(&report["time_analysis"], |stage| json!({
            "stage": stage["stage"],
            "dropped": durations(&stage["lost"]),
            "passed": durations(&stage["passed"]),
        })),
        "reasons": report["common_reasons"],
        "cohorts": {
            "weeks": each(&report["cohort_analysis"], week),
            "trend_mature": {
                "slope": report["trend"]["slope_per_week"],
                "p": report["trend"]["p"],
                "points": report["trend"]["weeks"],
                "direction": report["trend"]["direction"],
            },
        },
    });
    let optional = [
        ("excluded", report["excluded"].clone(), report["excluded"] != json!(0)),
        ("segments", segments(&report["segments"]), !report["segments"].is_null()),
        ("comparison", comparison(&report["comparison"], call), !report["comparison"].is_null()),
    ];
    for (name, value, present) in optional {
        if present || expected.get(name).is_some() {
            document[name] = value;
        }
    }
    document
}

fn each(list: &Value, map: impl Fn(&Value) -> Value) -> Value {
    Value::Array(list.as_array().into_iter().flatten().map(map).collect())
}

/// All elements but the first.
fn tail(list: &Value) -> Value {
    Value::Array(list.as_array().into_iter().flatten().skip(1).cloned().collect())
}

/// The fields of `names`, each `(new name, name)`; one that is missing stays missing.
fn pick(value: &Value, names: &[(&str, &str)]) -> Value {
    let field = |(new, old): &(&str, &str)| Some(((*new).to_owned(), value.get(old)?.clone()));
    Value::Object(names.iter().filter_map(field).collect())
}

fn rate(rate: &Value) -> Value {
    let names =
        [("x", "reached"), ("n", "total"), ("rate", "rate"), ("low", "low"), ("high", "high")];
    if rate.is_null() { Value::Null } else { pick(rate, &names) }
}

fn stage_rates(stage: &Value) -> Value {
    json!({
        "stage": stage["stage"],
        "name": stage["name"],
        "sessions": stage["count"],
        "from_start": rate(&stage["from_start"]),
        "from_previous": rate(&stage["from_previous"]),
    })
}

fn mature_rates(stage: &Value) -> Value {
    let mut mature = stage["mature"].clone();
    mature["stage"] = stage["stage"].clone();
    mature["name"] = stage["name"].clone();
    stage_rates(&mature)
}

fn durations(durations: &Value) -> Value {
    let names = [
        ("n", "sessions"),
        ("mean", "mean_seconds"),
        ("median", "median_seconds"),
        ("p25", "p25_seconds"),
        ("p75", "p75_seconds"),
        ("p90", "p90_seconds"),
        ("p99", "p99_seconds"),
    ];
    pick(durations, &names)
}

fn times(stage: &Value) -> Value {
    let incidence = &stage["incidence"];
    let mut at = Map::new();
    for age in incidence["at"].as_array().into_iter().flatten() {
        let name = match age["within_seconds"].as_i64() {
            Some(300) => "5min".to_owned(),
            Some(3_600) => "1h".to_owned(),
            Some(86_400) => "1d".to_owned(),
            Some(604_800) => "7d".to_owned(),
            other => format!("{other:?}"),
        };
        let value = json!({
            "aalen_johansen": age["aalen_johansen"]["value"],
            "low": age["aalen_johansen"]["low"],
            "high": age["aalen_johansen"]["high"],
            "competing": age["competing"],
            "watched": age["watched"],
        });
        at.insert(name, value);
    }
    let median = [("median", "median_seconds"), ("low", "low_seconds"), ("high", "high_seconds")];
    json!({
        "stage": stage["stage"],
        "time_to_stage": durations(&stage["time_to_stage"]),
        "step_time": durations(&stage["step_time"]),
        "incidence": {
            "at_risk": incidence["at_risk"],
            "reached": incidence["reached"],
            "lost": incidence["lost"],
            "in_flight": incidence["in_flight"],
            "at": at,
            "median": pick(&incidence["median"], &median),
        },
    })
}

fn drop_off(stages: &Value, top: &Value) -> Value {
    let stage = |stage: &Value| {
        let mut stage = stage.clone();
        if let Some(in_flight) = stage.as_object_mut().and_then(|fields| fields.remove("in_flight"))
        {
            stage["in_flight_here"] = in_flight;
        }
        stage
    };
    json!({"stages": each(stages, stage), "top": top})
}

fn heatmap_cell(cell: &Value) -> Value {
    let count = |name: &str| cell[name].as_u64().unwrap_or_default();
    json!({
        "stage": cell["stage"],
        "hour_of_week": cell["hour_of_week"],
        "lost": cell["lost"],
        "exposed": count("lost") + count("passed"),
        "share_of_lost": cell["share_of_lost"],
        "rate": cell["rate"],
        "low": cell["low"],
        "high": cell["high"],
    })
}

/// A rate with another field beside it; of a missing rate only that it is missing.
fn rate_beside(name: &str, beside: &Value, value: &Value) -> Value {
    let mut merged = match value {
        Value::Null => json!({"rate": null}),
        value => rate(value),
    };
    merged[name] = beside.clone();
    merged
}

fn week(week: &Value) -> Value {
    json!({
        "week": week["week"],
        "monday": week["monday"],
        "index": week["index"],
        "partial": week["partial"],
        "sessions": week["sessions"],
        "in_flight": week["in_flight"],
        "mature": week["mature"],
        "stages": each(&week["stages"], |stage| {
            rate_beside("stage", &stage["stage"], &stage["from_start"])
        }),
        "mature_conversion": rate(&week["mature_conversion"]),
        "median_seconds_to_complete": week["median_seconds_to_complete"],
        "by_age": each(&week["by_age"], |cell| {
            rate_beside("age_days", &cell["age_days"], &cell["conversion"])
        }),
    })
}

fn segments(segments: &Value) -> Value {
    let figures = |figures: &Value| {
        json!({
            "stages": each(&figures["stages"], stage_rates),
            "against_rest": figures["against_rest"],
        })
    };
    let segment = |segment: &Value| {
        json!({
            "value": segment["value"],
            "sessions": segment["sessions"],
            "raw": figures(&segment["raw"]),
            "mature": figures(&segment["mature"]),
        })
    };
    let Some(attributes) = segments["attributes"].as_object() else { return Value::Null };
    let attributes = attributes.iter().map(|(name, values)| (name.clone(), each(values, segment)));
    json!({
        "attributes": attributes.collect::<Map<_, _>>(),
        "family_size": {"mature": segments["hypotheses"]},
    })
}

fn comparison(comparison: &Value, call: &Value) -> Value {
    if comparison.is_null() {
        return Value::Null;
    }
    let mut mature = compared(&comparison["mature"], call);
    mature["trend"] = comparison["trend"].clone();
    json!({
        "sessions_before": comparison["period1"]["sessions"],
        "sessions_after": comparison["period2"]["sessions"],
        "raw": compared(&comparison["raw"], call),
        "mature": mature,
        "times": each(&comparison["times"], |stage| json!({
            "stage": stage["stage"],
            "time_to_stage": compared_time(&stage["time_to_stage"]),
            "step_time": compared_time(&stage["step_time"]),
        })),
    })
}

fn compared(basis: &Value, call: &Value) -> Value {
    let stage = |stage: &Value| {
        let mut mapped = json!({
            "stage": stage["stage"],
            "before": stage_rates(&stage["before"]),
            "after": stage_rates(&stage["after"]),
            "from_start": stage["from_start"],
        });
        if let Some(step) = stage.get("from_previous") {
            mapped["from_previous"] = step.clone();
        }
        mapped
    };
    let mut decomposition = json!({});
    if let Some(attribute) = call["mix-by"].as_str() {
        let mut parts = basis["decomposition"].clone();
        let name = parts.as_object_mut().and_then(|fields| fields.remove("attribute"));
        let name = name.as_ref().and_then(Value::as_str).unwrap_or(attribute).to_owned();
        decomposition[name] = parts;
    }
    json!({"stages": each(&basis["stages"], stage), "decomposition": decomposition})
}

fn compared_time(time: &Value) -> Value {
    let names = [
        ("median_before", "median_before_seconds"),
        ("median_after", "median_after_seconds"),
        ("difference", "difference_seconds"),
        ("mann_whitney_before", "mann_whitney"),
    ];
    pick(time, &names)
}
