//! Dead letters that name a person: their records were never understood, so their bytes are searched.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, cast, col, lit};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use memchr::memmem;
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::tables::DEAD_LETTERS;
use serde_json::Value;

use super::traces::Traces;
use crate::error::ComputeError;
use crate::scan::LakeTable;

/// Which letters are a person's; `None`: there is none. A letter whose tenant could not be read is taken
/// for theirs when it names them.
pub(super) async fn find(
    lake: &Lake,
    context: &SessionContext,
    letters: &Snapshot,
    traces: &Traces,
) -> Result<Option<Expr>, ComputeError> {
    let failed = |source| ComputeError::query("look for a person's dead letters", source);
    let table = Arc::new(LakeTable::new(lake, &DEAD_LETTERS, Some(letters)));
    let client = col("client_id").eq(lit(&traces.person.client_id));
    let stream = async {
        let text = |name: &str| cast(col(name), DataType::Utf8).alias(name);
        context
            .read_table(table)?
            .filter(client.or(col("client_id").is_null()))?
            .select(vec![
                text("dead_letter_id"),
                text("client_id"),
                text("session_id"),
                cast(col("raw"), DataType::Binary).alias("raw"),
                text("headers"),
            ])?
            .execute_stream()
            .await
    };
    let mut stream = stream.await.map_err(failed)?;
    let mut ids: Vec<Expr> = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(failed)? {
        let [letter, client, session] = [0, 1, 2].map(|at| batch.column(at).as_string::<i32>());
        let (raw, headers) = (batch.column(3).as_binary::<i32>(), batch.column(4));
        let headers = headers.as_string::<i32>();
        for row in 0..batch.num_rows() {
            let of_session = client.is_valid(row)
                && session.is_valid(row)
                && traces.sessions.iter().any(|own| own == session.value(row));
            let head = if headers.is_valid(row) { headers.value(row) } else { "" };
            let user = &traces.person.user;
            if of_session || names(raw.value(row), user) || names(head.as_bytes(), user) {
                ids.push(lit(letter.value(row)));
            }
        }
    }
    Ok((!ids.is_empty()).then(|| col("dead_letter_id").in_list(ids, false)))
}

/// Whether a record names a user: as a text of its JSON or, where it is none, as a word of its bytes.
fn names(record: &[u8], user: &str) -> bool {
    match serde_json::from_slice::<Value>(record) {
        Ok(value) => holds(&value, user),
        Err(_) => {
            let within = |at: Option<&u8>| {
                at.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
            };
            memmem::find_iter(record, user.as_bytes()).any(|at| {
                let before = at.checked_sub(1).and_then(|at| record.get(at));
                !within(before) && !within(record.get(at + user.len()))
            })
        }
    }
}

fn holds(value: &Value, user: &str) -> bool {
    match value {
        Value::String(text) => text == user,
        Value::Array(items) => items.iter().any(|item| holds(item, user)),
        Value::Object(members) => members.values().any(|member| holds(member, user)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_record_names_a_user_as_a_text_or_a_word() {
        for record in [
            r#"{"userid":"u-1"}"#,
            r#"{"data":{"who":["u-1"]}}"#,
            r#"{"userid":"\u0075-1"}"#,
            r#"{"userid":"u-1","#,
            "2026-01-01;u-1;x",
            "u-1",
        ] {
            assert!(names(record.as_bytes(), "u-1"), "{record}");
        }
        for record in [r#"{"userid":"u-11"}"#, r#"{"u-1":"x"}"#, r#"{"userid":"u-12","#, "xu-1", ""]
        {
            assert!(!names(record.as_bytes(), "u-1"), "{record}");
        }
    }
}
