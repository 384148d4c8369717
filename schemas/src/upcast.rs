//! Old versions of payloads: pure functions from one version to the next.
//!
//! The lake keeps what arrived; the typed columns are filled from the newest version.

/// How a payload of one version reads in the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upcaster {
    /// The full name of the type.
    pub event_type: &'static str,
    /// The version that it takes.
    pub from: u32,
    /// Fields that have another name in the next version.
    pub renamed: &'static [(&'static str, &'static str)],
}

/// Every upcaster; a type's newest version is one above the last of its own.
pub const UPCASTERS: [Upcaster; 1] = [Upcaster {
    event_type: "onboarding.input.submitted",
    from: 0,
    renamed: &[("text_length", "characters")],
}];

/// The name that a field of `version` has in the newest version of its type; `None` where a later
/// version gave that very name to another field of this one.
pub fn field_name<'n>(event_type: &str, version: u32, name: &'n str) -> Option<&'n str> {
    let mut name = name;
    let own = |upcaster: &&Upcaster| upcaster.from >= version && upcaster.event_type == event_type;
    for upcaster in UPCASTERS.iter().filter(own) {
        if let Some((_, new)) = upcaster.renamed.iter().find(|(old, _)| *old == name) {
            name = new;
        } else if upcaster.renamed.iter().any(|(_, new)| *new == name) {
            return None;
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_0_of_submitted_input_counted_text_length() {
        let renamed = |version, name| field_name("onboarding.input.submitted", version, name);
        assert_eq!(renamed(0, "text_length"), Some("characters"));
        assert_eq!(renamed(0, "step"), Some("step"));
        assert_eq!(renamed(0, "characters"), None, "in v0 it is an unknown field");
        assert_eq!(renamed(1, "text_length"), Some("text_length"), "in v1 it is an unknown field");
        assert_eq!(field_name("com.acme.x", 0, "text_length"), Some("text_length"));
    }

    #[test]
    fn every_type_with_old_versions_has_its_upcasters() {
        for known in crate::catalogue::list() {
            let from: Vec<u32> = UPCASTERS
                .iter()
                .filter(|upcaster| upcaster.event_type == known.name)
                .map(|upcaster| upcaster.from)
                .collect();
            assert_eq!(from, known.upcast_from, "{}", known.name);
        }
    }
}
