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
fn mistakes_name_their_place() {
    let typo = with("", &STAGES.replace("type =", "typ =")).unwrap_err();
    assert!(matches!(typo, FunnelError::Syntax { .. }));
    let message = typo.to_string();
    assert!(message.contains("line 5") && message.contains("typ"), "{message}");
    refused("window_seconds = -1", STAGES, "line 2");
    refused("stages = []", "", "2 to 32 stages, this one has 0");
    refused("", "", "missing field `stages`");
    let stages = |count: usize| {
        let stage = |k| format!("[[stages]]\nname = \"s{k}\"\ntype = \"x\"\n");
        (0..count).map(stage).collect::<String>()
    };
    assert_eq!(with("", &stages(32)).unwrap().stages.len(), 32);
    refused("", &stages(33), "this one has 33");
    refused("", &STAGES.replace("type", "optional = true\ntype"), "stage \"a\" is first or last");
    refused("", &STAGES.replace("\"x\"", "[\"y\", \" \"]"), "stage 1 (\"a\"): `type` is empty");
    for range in [(0, 1), (2, 1), (1, 3)] {
        let (from, to) = range;
        let exclusion = format!("[[exclusions]]\ntype = \"z\"\nfrom = {from}\nto = {to}");
        refused(&exclusion, STAGES, "exclusion 1: from_stage and to_stage");
    }
    for name in ["", "Big", "1st", "a-b", "ä", "a b"] {
        let text = format!("name = \"{name}\"\n{STAGES}");
        let message = parse(&text, "f.toml").unwrap_err().to_string();
        assert!(message.contains("must be lower-case letters"), "{name:?}: {message}");
    }
}

#[test]
fn durations_stay_within_64_bits_of_microseconds() {
    let century = 100 * 366 * 86_400_u64;
    let names =
        ["window_seconds", "abandon_after_seconds", "active_within_seconds", "horizon_seconds"];
    for name in names {
        assert!(with(&format!("{name} = {century}"), STAGES).is_ok(), "{name}");
        for seconds in [century + 1, i64::MAX as u64 / 1_000_000, i64::MAX as u64] {
            refused(&format!("{name} = {seconds}"), STAGES, &format!("{name} is more than"));
        }
    }
    let step = format!("{STAGES}step_window_seconds = {}", century + 1);
    refused("", &step, "stage \"b\": step_window_seconds is more than");
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
    let spaced = format!("# A remark.\n\n{}", "name='f'\nwindow_seconds   = 60 # a minute\n");
    assert_eq!(parse(&(spaced + STAGES), "g.toml").unwrap().hash(), one.hash());
    for (from, to) in [("\"x\"", "\"z\""), ("\"b\"", "\"c\""), ("\"y\"", "\"y \"")] {
        let changed = with("window_seconds = 60", &STAGES.replace(from, to)).unwrap();
        assert_ne!(changed.hash(), one.hash(), "{to}");
    }
}
