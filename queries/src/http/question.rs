//! What a request asks: its filters, who asks, and in which form the answer is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use chrono_tz::Tz;
use onramp_compute::{Compared, Moment, ReportRequest, Selection};
use onramp_schemas::funnel::Funnel;
use utoipa::IntoParams;

use super::Api;
use super::accept::Form;
use super::problem::Problem;
use crate::access::{Caller, Scope};

/// The most days of a period: all its weeks are listed.
const MOST_DAYS: u32 = 7_320;
/// The most attributes that sessions are chosen by.
const MOST_ATTRIBUTES: usize = 16;
/// The most rows that a page may leave out: they are sorted in memory.
const MOST_OFFSET: u32 = 100_000;
/// Rows of a page that names no limit.
const DEFAULT_LIMIT: usize = 100;

/// A request for analytics, as far as every route reads it.
pub struct Question {
    /// Who asks.
    pub caller: Caller,
    /// How the answer is wanted.
    pub form: Form,
    /// The tags of answers that the caller holds already.
    pub known: Option<String>,
    path: String,
    /// As they came, for the tag of the answer.
    asked: BTreeMap<String, String>,
    /// Those that no one has taken yet.
    left: BTreeMap<String, String>,
}

impl FromRequestParts<Arc<Api>> for Question {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller
            .ok_or_else(|| Problem::broken("a request reached a route without its caller"))?;
        let read = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(pairs) = read.map_err(|refused| {
            Problem::invalid(format!("the query string cannot be read: {}", refused.body_text()))
        })?;
        let mut asked = BTreeMap::new();
        for (name, value) in pairs {
            if asked.contains_key(&name) {
                return Err(Problem::invalid(format!("the parameter {name:?} is given twice")));
            }
            asked.insert(name, value);
        }
        let known = parts.headers.get(header::IF_NONE_MATCH);
        Ok(Self {
            caller,
            form: Form::accepted(&parts.headers)?,
            known: known.and_then(|known| known.to_str().ok()).map(str::to_owned),
            path: parts.uri.path().to_owned(),
            left: asked.clone(),
            asked,
        })
    }
}

/// The filters of every analytics route. Any other parameter is an attribute of the session, and the
/// value that it must have.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what `Question` takes by name")]
pub struct Filters {
    /// Sessions that start here or later: a date (its midnight in the time zone) or an RFC 3339 instant.
    /// Default: 30 days before `end`.
    #[param(example = "2026-03-01")]
    start: Option<String>,
    /// Sessions that start before here. Default: just past `as_of`.
    #[param(example = "2026-04-01")]
    end: Option<String>,
    /// Only sessions of this client.
    client_id: Option<String>,
    /// The funnel. Default: `onboarding`, unless configured otherwise.
    funnel: Option<String>,
    /// IANA time zone of dates, weeks and hours. Default: UTC, unless configured otherwise.
    #[param(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Only events up to here count. Default: the newest event.
    as_of: Option<String>,
    /// Only sessions with this attribute; so for every attribute that sessions have.
    device: Option<String>,
    /// As `device`.
    language: Option<String>,
    /// As `device`.
    user_kind: Option<String>,
    /// As `device`.
    channel: Option<String>,
}

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what `Question` takes by name")]
pub struct Page {
    /// At most so many. Default: 100.
    #[param(minimum = 0, maximum = 1000)]
    limit: Option<u32>,
    /// Leave out the first so many. Default: 0.
    #[param(minimum = 0, maximum = 100000)]
    offset: Option<u32>,
}

impl Question {
    /// Takes a parameter out; what is not taken is an attribute.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// A parameter of the type `T`.
    ///
    /// # Errors
    /// A text that is none; `what` says what is one.
    pub fn take_as<T: std::str::FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let read = text.parse().map(Some);
        read.map_err(|_| Problem::invalid(format!("{name}: {text:?} is no {what}")))
    }

    /// One of the words that a type is written as.
    ///
    /// # Errors
    /// Another word; `words` lists them.
    pub fn take_word<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
        words: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let read = serde_json::from_value(serde_json::Value::String(text.clone()));
        read.map(Some).map_err(|_| Problem::invalid(format!("{name}: {text:?} is not {words}")))
    }

    /// A list with commas.
    pub fn take_list(&mut self, name: &str) -> Vec<String> {
        let text = self.take(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    /// Limit and offset.
    ///
    /// # Errors
    /// What is no number, and an offset that is too large. So is a limit, by the list itself.
    pub fn take_page(&mut self) -> Result<(usize, usize), Problem> {
        const WHAT: &str = "whole number from 0 to 4294967295";
        let limit: Option<u32> = self.take_as("limit", WHAT)?;
        let offset: Option<u32> = self.take_as("offset", WHAT)?;
        if let Some(offset) = offset.filter(|&offset| offset > MOST_OFFSET) {
            return Err(Problem::invalid(format!(
                "offset: {offset} is more than {MOST_OFFSET}; ask for an earlier end, or for fewer"
            )));
        }
        let limit = limit.map_or(DEFAULT_LIMIT, |limit| limit as usize);
        Ok((limit, offset.unwrap_or_default() as usize))
    }

    /// The period to compare with, where one is named.
    ///
    /// # Errors
    /// One end without the other; neither a date nor an instant.
    pub fn take_compared(&mut self) -> Result<Option<Compared>, Problem> {
        let ends = (self.take_moment("compare_start")?, self.take_moment("compare_end")?);
        match ends {
            (None, None) => Ok(None),
            (Some(from), Some(to)) => Ok(Some(Compared::Within(from, to))),
            _ => Err(Problem::invalid("compare_start and compare_end go together; give both")),
        }
    }

    /// A date or an instant.
    ///
    /// # Errors
    /// Neither.
    pub fn take_moment(&mut self, name: &str) -> Result<Option<Moment>, Problem> {
        let read = self.take(name).map(|text| text.parse()).transpose();
        read.map_err(|words: String| Problem::invalid(format!("{name}: {words}")))
    }

    /// The funnel that is asked about.
    ///
    /// # Errors
    /// There is no such funnel.
    pub fn take_funnel(&mut self, api: &Api) -> Result<Arc<Funnel>, Problem> {
        let name = self.take("funnel");
        let name = name.as_ref().unwrap_or(&api.default_funnel);
        api.funnels.get(name).cloned().ok_or_else(|| {
            let known = api.funnels.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("there is no funnel {name:?}; known are {known}");
            Problem::missing("unknown_funnel", detail)
        })
    }

    /// The report that the common filters ask for, of what the caller may see. Everything else has been
    /// taken before: what is left are attributes.
    ///
    /// # Errors
    /// A filter that cannot be read, with its name and how to write it.
    pub fn request(&mut self, api: &Api) -> Result<ReportRequest, Problem> {
        let timezone: Option<Tz> = {
            let what = "IANA time zone; write a name such as Europe/Berlin";
            self.take_as("timezone", what)?
        };
        let request = ReportRequest {
            as_of: self.take_moment("as_of")?,
            from: self.take_moment("start")?,
            to: self.take_moment("end")?,
            timezone: timezone.unwrap_or(api.timezone),
            client_id: self.take("client_id"),
            most_days: Some(MOST_DAYS),
            ..ReportRequest::new(api.clock.now())
        };
        if self.left.len() > MOST_ATTRIBUTES {
            let given = self.left.len();
            return Err(Problem::invalid(format!(
                "sessions are chosen by at most {MOST_ATTRIBUTES} attributes, not {given}"
            )));
        }
        let left = std::mem::take(&mut self.left).into_iter();
        let attributes = left.map(|(name, value)| (name, Some(value))).collect();
        let clients = match &self.caller.scope {
            Scope::Everything => None,
            Scope::Clients(clients) => Some(clients.clone()),
        };
        Ok(ReportRequest { selection: Selection { clients, attributes }, ..request })
    }

    /// What the answer depends on beside the lake: the same text for the same question of the same sight.
    pub fn words(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.path, self.asked, self.form, self.caller.scope)
    }
}
