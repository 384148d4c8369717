//! Compares a document with the expected one, value by value.

use serde_json::Value;

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Scalars of the expected document that were compared.
    pub compared: usize,
    /// One line for each difference, beginning with its JSON path.
    pub differences: Vec<String>,
}

/// Compares every field of both documents.
///
/// Integers, texts, booleans and `null` must be equal; other numbers agree to 1e-9 relative or
/// 1e-12 absolute. A field on one side only is a difference.
pub fn compare(found: &Value, expected: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    walk(found, expected, "$", &mut comparison);
    comparison
}

fn walk(found: &Value, expected: &Value, path: &str, comparison: &mut Comparison) {
    match (found, expected) {
        (Value::Object(mine), Value::Object(theirs)) => {
            for (key, value) in theirs {
                let path = format!("{path}.{key}");
                match mine.get(key) {
                    Some(own) => walk(own, value, &path, comparison),
                    None => comparison.differences.push(format!("{path}: not found")),
                }
            }
            let unexpected = mine.keys().filter(|key| !theirs.contains_key(*key));
            comparison
                .differences
                .extend(unexpected.map(|key| format!("{path}.{key}: not expected")));
        }
        (Value::Array(mine), Value::Array(theirs)) => {
            if mine.len() != theirs.len() {
                comparison.differences.push(format!(
                    "{path}: {} elements, expected {}",
                    mine.len(),
                    theirs.len()
                ));
            }
            for (index, (own, value)) in mine.iter().zip(theirs).enumerate() {
                walk(own, value, &format!("{path}[{index}]"), comparison);
            }
        }
        _ => {
            comparison.compared += 1;
            if !agrees(found, expected) {
                comparison.differences.push(format!("{path}: {found}, expected {expected}"));
            }
        }
    }
}

fn agrees(found: &Value, expected: &Value) -> bool {
    let whole = |value: &Value| value.is_i64() || value.is_u64();
    match (found.as_f64(), expected.as_f64()) {
        (Some(_), Some(_)) if whole(found) || whole(expected) => found == expected,
        (Some(own), Some(other)) => {
            (own - other).abs() <= (1e-9 * own.abs().max(other.abs())).max(1e-12)
        }
        _ => found == expected || (is_nothing(found) && is_nothing(expected)),
    }
}

/// `null`, or an object that holds nothing but it: two ways to say that there is no such figure.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => !fields.is_empty() && fields.values().all(is_nothing),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({"n": 3, "rate": 0.25, "tiny": 0.0, "name": "é", "list": [{"low": null}, true]})
    }

    fn differences(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut changed = document();
        change(&mut changed);
        compare(&changed, &document()).differences
    }

    #[test]
    fn golden_comparison_accepts_what_agrees() {
        let same = compare(&document(), &document());
        assert_eq!((same.compared, same.differences.len()), (6, 0));
        assert!(differences(|d| d["rate"] = json!(0.25 + 1e-11)).is_empty());
        assert!(differences(|d| d["tiny"] = json!(1e-13)).is_empty());
        assert!(differences(|d| d["list"][0]["low"] = json!({"a": null})).is_empty());
    }

    #[test]
    fn golden_comparison_notices_planted_errors() {
        assert_eq!(differences(|d| d["n"] = json!(4)), ["$.n: 4, expected 3"]);
        assert_eq!(differences(|d| d["n"] = json!(3.0)).len(), 1, "a count is an integer");
        assert_eq!(differences(|d| d["rate"] = json!(0.250_000_01)).len(), 1);
        assert_eq!(differences(|d| d["tiny"] = json!(1e-11)).len(), 1);
        assert_eq!(differences(|d| d["name"] = json!("e\u{301}")).len(), 1);
        assert_eq!(differences(|d| d["list"][1] = json!(1)), ["$.list[1]: 1, expected true"]);
        assert_eq!(differences(|d| d["list"][0]["low"] = json!(0.0)).len(), 1);
        assert_eq!(differences(|d| d["list"][0]["low"] = json!({})).len(), 1);
    }

    #[test]
    fn golden_comparison_notices_fields_on_one_side_only() {
        let remove = |d: &mut Value| drop(d.as_object_mut().unwrap().remove("rate"));
        assert_eq!(differences(remove), ["$.rate: not found"]);
        assert_eq!(differences(|d| d["more"] = Value::Null), ["$.more: not expected"]);
        let shorten = |d: &mut Value| drop(d["list"].as_array_mut().unwrap().pop());
        assert_eq!(differences(shorten), ["$.list: 1 elements, expected 2"]);
    }
}
