//! The filters that all analytics routes share, from a query string to a request.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use chrono_tz::Tz;
use onramp_compute::{Moment, ReportRequest};
use serde::Deserialize;

use super::problem::Problem;

/// A query string whose mistakes are problems.
#[derive(Clone, Debug)]
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(read)| Self(read)).map_err(|refused| {
            let words = refused.body_text();
            let reason = words.rsplit_once("query string: ").map_or(&*words, |(_, reason)| reason);
            Problem::invalid(format!("the query string cannot be read: {reason}"))
        })
    }
}

/// What every analytics route understands.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filters {
    /// First day or instant at which a session starts.
    start: Option<String>,
    /// End of the period, exclusive.
    end: Option<String>,
    /// Only sessions of this client.
    client_id: Option<String>,
    /// The funnel.
    funnel: Option<String>,
    /// IANA time zone of days, weeks and hours.
    timezone: Option<String>,
    /// Only events up to here count.
    as_of: Option<String>,
    /// Whatever else is said: a value that an attribute of the session must have.
    #[serde(flatten)]
    attributes: BTreeMap<String, String>,
}

impl Filters {
    /// The funnel's name.
    pub fn funnel<'a>(&'a self, default: &'a str) -> &'a str {
        self.funnel.as_deref().unwrap_or(default)
    }

    /// The request that the filters make; `now` in microseconds UTC.
    ///
    /// # Errors
    /// A filter that cannot be read, with its name and how to write it.
    pub fn request(&self, now: i64, timezone: Tz) -> Result<ReportRequest, Problem> {
        if let Some(name) = self.attributes.keys().next() {
            return Err(Problem::invalid(format!("there is no parameter {name:?} here")));
        }
        Ok(ReportRequest {
            as_of: moment("as_of", self.as_of.as_deref())?,
            from: moment("start", self.start.as_deref())?,
            to: moment("end", self.end.as_deref())?,
            timezone: zone(self.timezone.as_deref())?.unwrap_or(timezone),
            client_id: self.client_id.clone(),
            ..ReportRequest::new(now)
        })
    }
}

/// A point in time out of a parameter.
///
/// # Errors
/// Neither a date nor an instant.
fn moment(name: &str, text: Option<&str>) -> Result<Option<Moment>, Problem> {
    let read = text.map(str::parse).transpose();
    read.map_err(|words: String| Problem::invalid(format!("{name}: {words}")))
}

fn zone(text: Option<&str>) -> Result<Option<Tz>, Problem> {
    let read = text.map(str::parse).transpose();
    read.map_err(|_| {
        Problem::invalid(format!(
            "timezone: {:?} is no IANA time zone; write a name such as Europe/Berlin",
            text.unwrap_or_default()
        ))
    })
}
