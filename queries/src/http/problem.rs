//! The one mapping from what went wrong to an answer: RFC 9457 problem documents with a stable code.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use datafusion::error::DataFusionError;
use onramp_compute::ComputeError;
use onramp_lake::LakeError;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::sql::SqlError;

/// An answer that is no result. The caller's faults are 4xx and say how to mend them; ours are 5xx,
/// are logged with their causes, and tell nothing of the inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What programs match on; never changes its meaning.
    code: &'static str,
    /// What, where, and how to mend it, for people.
    detail: String,
}

impl Problem {
    /// A problem with this status, code and explanation.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status: status.as_u16(), code, detail: detail.into() }
    }

    /// A request that cannot be understood.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// Something that is not there.
    pub fn missing(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// A path that leads nowhere.
    pub fn unknown_route(uri: &Uri) -> Self {
        let path = uri.path();
        let detail = format!("there is nothing at {path}; /api/v1/openapi.json lists the routes");
        Self::missing("unknown_route", detail)
    }

    /// A method that a path does not take.
    pub fn not_allowed(method: &Method, uri: &Uri) -> Self {
        let detail = format!("{} does not take {method}", uri.path());
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// Work that there is no room for now.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
    }

    /// An answer that took too long.
    pub fn overdue(seconds: u64) -> Self {
        let detail = format!(
            "the answer took more than {seconds} s; ask for a shorter period or a cheaper statement"
        );
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", detail)
    }

    /// A fault of ours: the causes go to the log.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "request failed");
        let detail = "the server failed to answer; its log has the causes";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// A fault of ours without a cause: `words` are for the log.
    pub fn broken(words: &str) -> Self {
        Self::internal(&std::io::Error::other(words))
    }

    /// The same, of a lake that does not answer: worth another try.
    fn lake(error: &LakeError) -> Self {
        tracing::error!(error = error as &dyn std::error::Error, "lake failed");
        let detail = "the lake cannot be read now; the server's log has the causes";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "lake_unavailable", detail)
    }

    fn engine(error: &DataFusionError) -> Option<Self> {
        let DataFusionError::ResourcesExhausted(words) = error.find_root() else { return None };
        let detail = format!(
            "the answer needs more memory than it may have ({words}); aggregate earlier or ask for less"
        );
        Some(Self::new(StatusCode::UNPROCESSABLE_ENTITY, "memory_exceeded", detail))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ComputeError> for Problem {
    fn from(error: ComputeError) -> Self {
        match &error {
            ComputeError::Request(words) => Self::invalid(words.clone()),
            ComputeError::EmptyLake { .. } => {
                Self::missing("empty_lake", "there are no events yet; send some to /api/v1/events")
            }
            ComputeError::NoClient { .. } => Self::missing("unknown_client", error.to_string()),
            ComputeError::NoSession { .. } => Self::missing("unknown_session", error.to_string()),
            ComputeError::AmbiguousSession { .. } => {
                Self::new(StatusCode::CONFLICT, "ambiguous_session", error.to_string())
            }
            ComputeError::Contended { .. } => Self::busy(error.to_string()),
            ComputeError::Lake(lake) => Self::lake(lake),
            ComputeError::Query { source, .. } => {
                Self::engine(source).unwrap_or_else(|| Self::internal(&error))
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Self {
        let refused = |status, code| Self::new(status, code, error.to_string());
        match &error {
            SqlError::Lake(lake) => Self::lake(lake),
            SqlError::Statement(source) => Self::engine(source).unwrap_or_else(|| {
                let detail = format!("{error}: {}", source.strip_backtrace());
                Self::new(StatusCode::BAD_REQUEST, "invalid_statement", detail)
            }),
            SqlError::NoTable { .. } => refused(StatusCode::BAD_REQUEST, "invalid_statement"),
            SqlError::TooLong { .. } => {
                refused(StatusCode::PAYLOAD_TOO_LARGE, "statement_too_long")
            }
            SqlError::Refused(_) => refused(StatusCode::BAD_REQUEST, "refused_statement"),
            SqlError::TooLarge { .. } => {
                refused(StatusCode::UNPROCESSABLE_ENTITY, "answer_too_large")
            }
            SqlError::TooManyRows { .. } => {
                refused(StatusCode::UNPROCESSABLE_ENTITY, "too_many_rows")
            }
            SqlError::Deadline { given } => Self::overdue(given.as_secs()),
            SqlError::Busy { .. } => Self::busy(error.to_string()),
            SqlError::Engine(_) | SqlError::Worker(_) => Self::internal(&error),
        }
    }
}

/// The caller holds the answer already, by its tag in `If-None-Match`.
#[derive(IntoResponses)]
#[response(status = NOT_MODIFIED)]
#[allow(dead_code, reason = "the documentation of what routes answer")]
pub struct Unchanged;

/// What every route may answer in place of a result.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "the documentation of what routes answer")]
pub enum Refusals {
    /// `invalid_request`, `invalid_statement`, `refused_statement`: it cannot be understood, or is not answered.
    #[response(status = BAD_REQUEST, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `unauthenticated`: a token is wanted, or the one that was shown does not count.
    #[response(status = UNAUTHORIZED, content_type = "application/problem+json")]
    Unauthenticated(Problem),
    /// `forbidden`: the caller's role or clients do not reach that far.
    #[response(status = FORBIDDEN, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// `too_many_requests`: `Retry-After` says when to try again.
    #[response(status = TOO_MANY_REQUESTS, content_type = "application/problem+json")]
    TooMany(Problem),
    /// `unknown_funnel`, `unknown_client`, `unknown_session`, `empty_lake`: it is not there.
    #[response(status = NOT_FOUND, content_type = "application/problem+json")]
    Missing(Problem),
    /// `not_acceptable`: none of the offered forms is accepted.
    #[response(status = NOT_ACCEPTABLE, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// `memory_exceeded`, `too_many_rows`, `answer_too_large`: the answer is larger than it may be.
    #[response(status = UNPROCESSABLE_ENTITY, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// `busy`, `lake_unavailable`: not now; `Retry-After` says when to try again.
    #[response(status = SERVICE_UNAVAILABLE, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// `deadline_exceeded`: the answer took too long.
    #[response(status = GATEWAY_TIMEOUT, content_type = "application/problem+json")]
    Overdue(Problem),
}
