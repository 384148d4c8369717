use super::*;

const STAGES: &str =
    "[[stages]]\nname = \"a\"\ntype = \"x\"\n[[stages]]\nname = \"b\"\npredicate = \"y\"\n";

fn with(top: &str, stages: &str) -> Result<Funnel, FunnelError> {
    parse(&format!("name = \"f\"\n{top}\n{stages}"), "f.toml")
}

#[track_caller]
fn refused(top: &str, stages: &str, because: &str) {
    let message = with(top, stages).unwrap_err().to_string();
    assert!(message.starts_with("f.toml: ") && message.contains(because), "{message}");
}

#[test]
fn the_shipped_funnel_is_the_default_one() {
    let [funnel] = &builtin()[..] else { panic!("one funnel ships") };
    assert_eq!((funnel.name.as_str(), funnel.stages.len()), ("onboarding", 5));
    assert_eq!((funnel.order, funnel.horizon()), (Order::Ordered, 7 * 86_400));
    assert_eq!(funnel.required(), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let funnel = with("", STAGES).unwrap();
    assert_eq!((funnel.abandon_after_seconds, funnel.active_within_seconds), (86_400, 1_800));
    assert_eq!(with("window_seconds = 60", STAGES).unwrap().horizon(), 60);
    assert_eq!(with("window_seconds = 60\nhorizon_seconds = 5", STAGES).unwrap().horizon(), 5);
}

#[test]
fn mistakes_are_named() {
    refused("nam = 1", STAGES, "unknown field");
    refused("order = \"random\"", STAGES, "random");
    refused("", "[[stages]]\nname = \"a\"\ntype = \"x\"\n", "2 to 32 stages");
    refused("", &STAGES.replace("\"b\"", "\"a\""), "share a name");
    refused("", &format!("{STAGES}optional = true"), "cannot be optional");
    refused("", &STAGES.replace("predicate = \"y\"", ""), "give a `type`");
    refused("", &STAGES.replace("\"x\"", "[]"), "`type` is empty");
    refused("", &STAGES.replace("\"y\"", "\" \""), "`predicate` is empty");
    refused("[error]\ncode_field = \"code\"", STAGES, "error: give a `type`");
    let exclusion = "[[exclusions]]\ntype = \"z\"\nfrom_stage = 2\nto_stage = 2";
    refused(exclusion, STAGES, "1 <= from_stage < to_stage <= 2");
    let three = STAGES.replace("predicate", "optional = true\npredicate")
        + "[[stages]]\nname = \"c\"\ntype = \"z\"";
    assert_eq!(with("", &three).unwrap().required(), [0, 2]);
    refused("order = \"unordered\"", &three, "no optional stages");
    let long = format!("name = \"{}\"\n{STAGES}", "f".repeat(65));
    assert!(parse(&long, "f.toml").unwrap_err().to_string().contains("at most 64 characters"));
}

#[test]
fn the_canonical_form_has_sorted_keys_and_returns() {
    let funnel = with("window_seconds = 60", STAGES).unwrap();
    let text = funnel.canonical();
    assert_eq!(
        text,
        r#"{"abandon_after_seconds":86400,"active_within_seconds":1800,"name":"f","order":"ordered","stages":[{"name":"a","type":"x"},{"name":"b","predicate":"y"}],"window_seconds":60}"#
    );
    assert_eq!(serde_json::from_str::<Funnel>(&text).unwrap(), funnel);
}

#[test]
fn the_hash_follows_the_definition() {
    let one = with("window_seconds = 60", STAGES).unwrap();
    let same = with("order = \"ordered\"\nwindow_seconds = 60", STAGES).unwrap();
    let other = with("window_seconds = 61", STAGES).unwrap();
    assert_eq!(one.hash(), same.hash());
    assert_ne!(one.hash(), other.hash());
    assert_eq!(one.hash().len(), 16);
}
