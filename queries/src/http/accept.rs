//! The forms of an answer, and which of them a caller likes best.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::Problem;

/// The media type of an Arrow IPC stream.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole document.
    Json,
    /// Its list, a line a row, nested members as `outer_inner`.
    Csv,
    /// Its list as an Arrow IPC stream.
    Arrow,
}

impl Form {
    /// What the caller likes best of what there is; JSON where nothing is said.
    ///
    /// # Errors
    /// 406, where the caller accepts nothing of it.
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept: Vec<&str> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|accept| accept.to_str().ok())
            .collect();
        if accept.is_empty() {
            return Ok(Form::Json);
        }
        let accept = accept.join(",");
        let ranges: Vec<Range> = accept.split(',').filter_map(Range::read).collect();
        let mut best: Option<(f32, Form)> = None;
        for form in [Form::Json, Form::Csv, Form::Arrow] {
            let fitting = ranges.iter().filter_map(|range| range.fits(form.kind()));
            let closest = fitting.max_by_key(|(closeness, _)| *closeness);
            let Some((_, weight)) = closest.filter(|(_, weight)| *weight > 0.0) else { continue };
            if best.is_none_or(|(heaviest, _)| weight > heaviest) {
                best = Some((weight, form));
            }
        }
        best.map(|(_, form)| form).ok_or_else(|| {
            let detail = format!(
                "nothing of {accept:?} is offered; accept application/json, text/csv or {ARROW}"
            );
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
        })
    }

    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Form::Json => ("application", "json"),
            Form::Csv => ("text", "csv"),
            Form::Arrow => ("application", "vnd.apache.arrow.stream"),
        }
    }

    /// As the answer names it.
    pub fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8",
            Form::Arrow => ARROW,
        })
    }
}

/// One part of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: f32,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut words = text.split(';').map(str::trim);
        let (kind, subtype) = words.next()?.split_once('/')?;
        let weight = words.find_map(|word| word.strip_prefix("q=")?.parse().ok());
        Some(Self { kind, subtype, weight: weight.unwrap_or(1.0) })
    }

    /// How closely it names a media type, and how it is liked; `None`: it names others.
    fn fits(&self, (kind, subtype): (&str, &str)) -> Option<(u8, f32)> {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let closeness = match (self.kind, self.subtype) {
            ("*", "*") => 0,
            (named, "*") if same(named, kind) => 1,
            (named, other) if same(named, kind) && same(other, subtype) => 2,
            _ => return None,
        };
        Some((closeness, self.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(text).unwrap());
        Form::accepted(&headers).ok()
    }

    #[test]
    fn the_closest_range_tells_how_a_form_is_liked() {
        for (text, form) in [
            ("*/*", Some(Form::Json)),
            ("application/json", Some(Form::Json)),
            ("TEXT/CSV", Some(Form::Csv)),
            ("text/*", Some(Form::Csv)),
            (ARROW, Some(Form::Arrow)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Form::Json)),
            ("application/json;q=0, */*", Some(Form::Csv)),
            ("application/json; q=0.5, text/csv; q=0.9", Some(Form::Csv)),
            ("application/*, application/json;q=0.1", Some(Form::Arrow)),
            ("text/html", None),
            ("*/*;q=0", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(accepted(text), form, "{text}");
        }
        assert_eq!(Form::accepted(&HeaderMap::new()).ok(), Some(Form::Json));
    }
}
