//! Named statements that answer the questions asked first, with parameters that are bound as values.

use std::collections::HashMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use thiserror::Error;

use crate::sql::{Session, SqlError};

#[cfg(test)]
mod tests;

macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../sql/", $name, ".sql")))),+] };
}

/// Name and text of each.
const FILES: [(&str, &str); 15] = files![
    "stages",
    "funnel_by_day",
    "conversion_by_client",
    "conversion_by_segment",
    "slowest_stages",
    "time_to_convert",
    "lost_sessions",
    "loss_reasons",
    "errors_before_leaving",
    "returning_people",
    "events_by_day",
    "busiest_sessions",
    "late_events",
    "duplicates_by_source",
    "rejections",
];

/// A statement with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What it is asked for by.
    pub name: &'static str,
    /// The question.
    pub title: &'static str,
    /// What the answer tells.
    pub description: String,
    /// What may be given with it.
    pub parameters: Vec<Parameter>,
    /// The SQL.
    pub statement: &'static str,
}

/// A parameter of a statement: `$name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds where it is not given, `NULL` among it; `None`: it must be given.
    pub default: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A calendar day, `2026-03-31`.
    Day,
}

/// Why a named statement was not run.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// No statement has this name.
    #[error("there is no query {name:?}; {hint}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
    /// It has no such parameter.
    #[error("the query {query} has no parameter {name:?}; {hint}")]
    NoParameter {
        /// The query.
        query: &'static str,
        /// What was given.
        name: String,
        /// What it has.
        hint: String,
    },
    /// A parameter that it cannot do without.
    #[error("the query {query} needs a {name}: give --param {name}=VALUE. {doc}")]
    Missing {
        /// The query.
        query: &'static str,
        /// The parameter.
        name: &'static str,
        /// What it means.
        doc: &'static str,
    },
    /// A value of another type.
    #[error("{name} = {value:?} is no {}", kind.as_str())]
    Mistyped {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        kind: Kind,
    },
    /// The statement failed.
    #[error("{0}")]
    Sql(#[from] SqlError),
}

impl Kind {
    /// Its name, as it stands in the files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Day => "day",
        }
    }

    fn value(self, text: &str) -> Option<ScalarValue> {
        let kind = match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Day => DataType::Date32,
        };
        match text {
            "NULL" => ScalarValue::try_from(&kind).ok(),
            text => ScalarValue::try_from_string(text.to_owned(), &kind).ok(),
        }
    }
}

/// All of them, those that most people want first.
pub fn all() -> Vec<Query> {
    FILES.into_iter().map(|(name, text)| parse(name, text)).collect()
}

/// The one of that name.
///
/// # Errors
/// There is none; with the name that was meant, or all there are.
pub fn find(name: &str) -> Result<Query, LibraryError> {
    let known = FILES.into_iter().find(|(known, _)| *known == name);
    known.map(|(name, text)| parse(name, text)).ok_or_else(|| LibraryError::Unknown {
        name: name.to_owned(),
        hint: hint(name, &FILES.map(|(name, _)| name)),
    })
}

/// The name that was meant, or all there are.
fn hint(name: &str, known: &[&str]) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(known, name);
    match known.iter().min_by_key(distance).filter(|known| distance(known) <= 3) {
        Some(likely) => format!("did you mean {likely}?"),
        None if known.is_empty() => "it has none".to_owned(),
        None => format!("there are {}", known.join(", ")),
    }
}

/// Reads a file: a title, a description, one line for each parameter, the statement.
fn parse(name: &'static str, text: &'static str) -> Query {
    let mut query = Query {
        name,
        title: "",
        description: String::new(),
        parameters: Vec::new(),
        statement: text,
    };
    for line in text.lines().map_while(|line| line.strip_prefix("--")) {
        let line = line.trim();
        match line.strip_prefix('$') {
            Some(parameter) => query.parameters.extend(parse_parameter(parameter)),
            None if query.title.is_empty() => query.title = line,
            None if line.is_empty() => {}
            None => {
                let gap = if query.description.is_empty() { "" } else { " " };
                query.description.extend([gap, line]);
            }
        }
    }
    query
}

/// `name kind [= default] -- meaning`.
fn parse_parameter(line: &'static str) -> Option<Parameter> {
    let (head, doc) = line.split_once(" -- ")?;
    let (declared, default) = match head.split_once(" = ") {
        Some((declared, default)) => (declared, Some(default)),
        None => (head, None),
    };
    let (name, kind) = declared.split_once(' ')?;
    let kind = [Kind::Text, Kind::Integer, Kind::Day].into_iter().find(|it| it.as_str() == kind)?;
    Some(Parameter { name, kind, default, doc })
}

impl Query {
    /// Its plan with these values by name.
    ///
    /// # Errors
    /// A parameter that it does not have, lacks, or that is of another type; and as [`Session::plan`].
    pub async fn plan(
        &self,
        session: &Session,
        given: &[(String, String)],
    ) -> Result<LogicalPlan, LibraryError> {
        let values = self.values(given)?;
        let plan = session.plan(self.statement).await?;
        Ok(plan.with_param_values(values).map_err(SqlError::from)?)
    }

    fn values(&self, given: &[(String, String)]) -> Result<ParamValues, LibraryError> {
        for (name, _) in given {
            if !self.parameters.iter().any(|parameter| parameter.name == name) {
                let known: Vec<&str> = self.parameters.iter().map(|it| it.name).collect();
                return Err(LibraryError::NoParameter {
                    query: self.name,
                    name: name.clone(),
                    hint: hint(name, &known),
                });
            }
        }
        let value = |parameter: &Parameter| {
            let own = given.iter().rev().find(|(name, _)| name == parameter.name);
            let text = own.map(|(_, value)| value.as_str()).or(parameter.default);
            let text = text.ok_or(LibraryError::Missing {
                query: self.name,
                name: parameter.name,
                doc: parameter.doc,
            })?;
            let value = parameter.kind.value(text).ok_or_else(|| LibraryError::Mistyped {
                name: parameter.name,
                value: text.to_owned(),
                kind: parameter.kind,
            })?;
            Ok((parameter.name.to_owned(), ScalarAndMetadata::from(value)))
        };
        let values: HashMap<_, _> =
            self.parameters.iter().map(value).collect::<Result<_, LibraryError>>()?;
        Ok(ParamValues::Map(values))
    }
}

/// The reference of the library, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "<!-- Generated from queries/sql/; edit those. -->\n# Queries by name\n\n\
         `onramp query list` lists them, `onramp query show NAME` prints one, and `onramp query run NAME` \
         runs it; `--param NAME=VALUE` sets a parameter, `NULL` among the values. Values are bound, never \
         pasted into the text.\n",
    );
    for query in all() {
        page.push_str(&format!("\n## {}\n\n{}. {}\n", query.name, query.title, query.description));
        if !query.parameters.is_empty() {
            page.push_str(
                "\n| parameter | type | default | meaning |\n| --- | --- | --- | --- |\n",
            );
        }
        for Parameter { name, kind, default, doc } in &query.parameters {
            let default = default.map_or("must be given".to_owned(), |it| format!("`{it}`"));
            page.push_str(&format!("| `{name}` | {} | {default} | {doc} |\n", kind.as_str()));
        }
    }
    page
}
