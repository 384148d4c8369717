//! Reading funnel files: every mistake is named with its place and its mending.

use thiserror::Error;

use super::{Condition, Funnel, Order};

/// The most stages a funnel may have (the fold keeps them in a 64-bit mask beside the exclusions).
const MAX_STAGES: usize = 32;

/// The longest duration, 100 years: no sum of an instant and a few of them leaves 64 bits.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// Why a funnel file was refused.
#[derive(Debug, Error)]
pub enum FunnelError {
    /// The file is not TOML, or a field is unknown, missing or of the wrong type.
    #[error("{origin}: {message}")]
    Syntax {
        /// File or other origin of the text.
        origin: String,
        /// What and where, as the TOML parser says it.
        message: String,
    },
    /// The fields are well-formed but do not make a funnel.
    #[error("{origin}: {message}")]
    Meaning {
        /// File or other origin of the text.
        origin: String,
        /// What is wrong and how to mend it.
        message: String,
    },
}

/// Parses and checks a funnel definition; `origin` names the text in errors.
pub fn parse(text: &str, origin: &str) -> Result<Funnel, FunnelError> {
    let funnel: Funnel = toml::from_str(text).map_err(|error| FunnelError::Syntax {
        origin: origin.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    check(&funnel)
        .map_err(|message| FunnelError::Meaning { origin: origin.to_owned(), message })?;
    Ok(funnel)
}

/// The funnels that ship with the program.
pub fn builtin() -> Vec<Funnel> {
    let text = include_str!("../../funnels/onboarding.toml");
    vec![parse(text, "built-in onboarding.toml").expect("the shipped funnel is tested to be valid")]
}

fn check(funnel: &Funnel) -> Result<(), String> {
    let name = &funnel.name;
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 {
        return Err(format!(
            "name {name:?} must be lower-case letters, digits and _, start with a letter and have \
             at most 64 characters"
        ));
    }
    let count = funnel.stages.len();
    if !(2..=MAX_STAGES).contains(&count) {
        return Err(format!("a funnel has 2 to {MAX_STAGES} stages, this one has {count}"));
    }
    if funnel.stage_names().len() != count {
        return Err("two stages share a name; give each its own".into());
    }
    for (index, stage) in funnel.stages.iter().enumerate() {
        condition(&stage.condition(), &format!("stage {} ({:?})", index + 1, stage.name))?;
        if stage.optional && (index == 0 || index + 1 == count) {
            return Err(format!("stage {:?} is first or last and cannot be optional", stage.name));
        }
        if stage.optional && funnel.order == Order::Unordered {
            return Err(format!(
                "stage {:?}: an unordered funnel has no optional stages",
                stage.name
            ));
        }
    }
    durations(funnel)?;
    if let Some(abandonment) = &funnel.abandonment {
        condition(&abandonment.condition(), "abandonment")?;
    }
    if let Some(error) = &funnel.error {
        condition(&error.condition(), "error")?;
    }
    if let Some(activity) = &funnel.activity {
        condition(activity, "activity")?;
    }
    for (index, exclusion) in funnel.exclusions.iter().enumerate() {
        condition(&exclusion.condition(), &format!("exclusion {}", index + 1))?;
        if exclusion.from_stage < 1
            || exclusion.from_stage >= exclusion.to_stage
            || exclusion.to_stage > count
        {
            return Err(format!(
                "exclusion {}: from_stage and to_stage are stage numbers with \
                 1 <= from_stage < to_stage <= {count}",
                index + 1
            ));
        }
    }
    if funnel.exclusions.len() > 24 {
        return Err("a funnel has at most 24 exclusions".into());
    }
    Ok(())
}

/// Refuses durations whose microseconds, added to any instant, would leave 64 bits.
fn durations(funnel: &Funnel) -> Result<(), String> {
    let steps = funnel.stages.iter().map(|stage| {
        (format!("stage {:?}: step_window_seconds", stage.name), stage.step_window_seconds)
    });
    let own = [
        ("window_seconds", funnel.window_seconds),
        ("abandon_after_seconds", Some(funnel.abandon_after_seconds)),
        ("active_within_seconds", Some(funnel.active_within_seconds)),
        ("horizon_seconds", funnel.horizon_seconds),
    ];
    for (place, seconds) in
        own.map(|(name, seconds)| (name.to_owned(), seconds)).into_iter().chain(steps)
    {
        if seconds.is_some_and(|seconds| seconds > MAX_SECONDS) {
            return Err(format!(
                "{place} is more than {MAX_SECONDS} (100 years); leave it out or lower it"
            ));
        }
    }
    Ok(())
}

fn condition(condition: &Condition, place: &str) -> Result<(), String> {
    let types = condition.event_type.as_ref().map(|t| t.as_slice());
    if types.is_some_and(|t| t.is_empty() || t.iter().any(|name| name.trim().is_empty())) {
        return Err(format!("{place}: `type` is empty; name an event type or leave it out"));
    }
    if condition.predicate.as_ref().is_some_and(|p| p.trim().is_empty()) {
        return Err(format!(
            "{place}: `predicate` is empty; write a SQL condition or leave it out"
        ));
    }
    if types.is_none() && condition.predicate.is_none() {
        return Err(format!("{place}: give a `type`, a `predicate`, or both"));
    }
    Ok(())
}
