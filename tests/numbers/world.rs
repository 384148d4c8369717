//! Random logs, funnels and questions.

use std::ops::Range;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;
/// 2026-03-01 00:00 UTC: the clocks of Berlin and New York change within the weeks after it.
const BASE: i64 = 1_772_323_200 * SECOND;
const KINDS: [&str; 9] = ["a", "b", "c", "d", "e", "gone", "oops", "x", "idle"];
const GAPS: [i64; 11] = [
    0,
    0,
    1,
    60 * SECOND,
    60 * SECOND,
    300 * SECOND,
    1_800 * SECOND,
    3_600 * SECOND,
    3_600 * SECOND + 1,
    5 * 3_600 * SECOND,
    DAY,
];
const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
];

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub client: String,
    pub session: String,
    pub source: &'static str,
    pub id: String,
    pub kind: String,
    pub at: i64,
    pub data: Value,
    /// Place in the order of arrival: file, then line.
    pub arrival: (bool, u16),
}

impl Event {
    pub fn identity(&self) -> (&str, &str, &str) {
        (&self.client, self.source, &self.id)
    }

    pub fn line(&self) -> String {
        json!({
            "specversion": "1.0", "id": self.id, "source": self.source, "type": self.kind,
            "subject": self.session, "clientid": self.client, "time": instant(self.at), "data": self.data,
        })
        .to_string()
    }

    /// A field of the payload as text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.data[name].as_str()
    }
}

pub fn instant(at: i64) -> String {
    let at = DateTime::from_timestamp_micros(at).expect("an instant of this century");
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Which events are meant.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate: Option<&'static str>,
}

impl Condition {
    pub fn meets(&self, event: &Event) -> bool {
        let mark = event.field("mark");
        let holds = match self.predicate {
            None => true,
            Some("mark = 'x'") => mark == Some("x"),
            Some("mark <> 'x'") => mark.is_some_and(|mark| mark != "x"),
            Some("mark IS DISTINCT FROM 'x'") => mark != Some("x"),
            Some(other) => panic!("no reading of {other}"),
        };
        holds && self.types.contains(&event.kind)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    pub name: String,
    #[serde(flatten)]
    pub condition: Condition,
    pub optional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_window_seconds: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Exclusion {
    #[serde(flatten)]
    pub condition: Condition,
    pub from_stage: usize,
    pub to_stage: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct Noted {
    #[serde(flatten)]
    pub condition: Condition,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_field: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Funnel {
    pub name: String,
    pub order: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<i64>,
    pub abandon_after_seconds: i64,
    pub active_within_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon_seconds: Option<i64>,
    pub segments: [&'static str; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandonment: Option<Noted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Noted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Condition>,
    pub exclusions: Vec<Exclusion>,
    pub stages: Vec<Stage>,
}

impl Funnel {
    pub fn required(&self) -> Vec<usize> {
        (0..self.stages.len()).filter(|&stage| !self.stages[stage].optional).collect()
    }

    /// The required stage before, from the second stage on.
    pub fn previous(&self, stage: usize) -> usize {
        self.required().into_iter().rfind(|&required| required < stage).expect("the first")
    }

    /// The required stage after.
    pub fn next(&self, stage: usize) -> Option<usize> {
        self.required().into_iter().find(|&required| required > stage)
    }

    /// The funnel file.
    pub fn text(&self) -> String {
        toml::to_string(self).expect("a funnel is a TOML table")
    }

    pub fn horizon(&self) -> i64 {
        self.horizon_seconds.or(self.window_seconds).unwrap_or(7 * 86_400) * SECOND
    }
}

/// What a report is asked for.
#[derive(Clone, Debug)]
pub struct Call {
    pub as_of: i64,
    pub period: Range<NaiveDate>,
    pub compare: Range<NaiveDate>,
    pub zone: &'static str,
    pub mix_by: &'static str,
    pub client: Option<&'static str>,
}

pub const SEGMENTS: [&str; 3] = ["device", "shade", "client_id"];

impl Call {
    pub fn arguments(&self) -> Vec<String> {
        let date = |date: NaiveDate| date.to_string();
        let mut arguments: Vec<String> = [
            ("--as-of", instant(self.as_of)),
            ("--from", date(self.period.start)),
            ("--to", date(self.period.end)),
            ("--compare-from", date(self.compare.start)),
            ("--compare-to", date(self.compare.end)),
            ("--timezone", self.zone.to_owned()),
            ("--segment-by", SEGMENTS.join(",")),
            ("--mix-by", self.mix_by.to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        if let Some(client) = self.client {
            arguments.extend(["--client-id".to_owned(), client.to_owned()]);
        }
        arguments
    }
}

/// A log with what is asked of it.
#[derive(Clone)]
pub struct World {
    /// In the order of arrival.
    pub events: Vec<Event>,
    pub asked: Vec<(Funnel, Call)>,
}

/// As files and arguments, to be tried by hand.
impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for event in &self.events {
            write!(f, "\n{}.ndjson: {}", event.arrival.0, event.line())?;
        }
        for (funnel, call) in &self.asked {
            write!(f, "\n{}\n{}", funnel.text(), call.arguments().join(" "))?;
        }
        Ok(())
    }
}

/// Something that happens in a session.
#[derive(Clone, Debug)]
struct Happening {
    gap: usize,
    /// `None`: the next stage in line.
    kind: Option<usize>,
    mark: usize,
    device: usize,
    shade: usize,
    source: bool,
    arrival: (bool, u16),
    copy: Option<Copy>,
}

/// A second event of the same identity.
#[derive(Clone, Debug)]
struct Copy {
    gap: usize,
    mark: usize,
    arrival: (bool, u16),
}

#[derive(Clone, Debug)]
struct Story {
    client: bool,
    /// Goes on with the session before.
    twin: bool,
    hour: i64,
    happenings: Vec<Happening>,
}

fn arrival() -> impl Strategy<Value = (bool, u16)> {
    (any::<bool>(), any::<u16>())
}

fn happening() -> impl Strategy<Value = Happening> {
    let copy = (0..GAPS.len(), 0..4_usize, arrival()).prop_map(|(gap, mark, arrival)| Copy {
        gap,
        mark,
        arrival,
    });
    (
        0..GAPS.len(),
        prop_oneof![7 => Just(None), 3 => (0..KINDS.len()).prop_map(Some)],
        0..4_usize,
        0..4_usize,
        0..3_usize,
        any::<bool>(),
        arrival(),
        prop_oneof![9 => Just(None), 1 => copy.prop_map(Some)],
    )
        .prop_map(|(gap, kind, mark, device, shade, source, arrival, copy)| Happening {
            gap,
            kind,
            mark,
            device,
            shade,
            source,
            arrival,
            copy,
        })
}

fn story() -> impl Strategy<Value = Story> {
    let happenings = prop::collection::vec(happening(), 1..8);
    (any::<bool>(), prop::bool::weighted(0.05), 0..24_i64 * 42, happenings)
        .prop_map(|(client, twin, hour, happenings)| Story { client, twin, hour, happenings })
}

fn kind_name(kind: usize) -> String {
    format!("com.acme.{}", KINDS[kind])
}

fn payload(kind: usize, mark: usize, device: usize, shade: usize) -> Value {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    match mark {
        0 => {}
        1 => put("mark", Value::Null),
        2 => put("mark", "x".into()),
        _ => put("mark", "y".into()),
    }
    // Three devices and none; two shades, of which one is written as a null.
    ["phone", "désk", "Desk"].get(device).into_iter().for_each(|it| put("device", (*it).into()));
    put("shade", [json!("dark"), json!("light"), Value::Null][shade].clone());
    match KINDS[kind] {
        "gone" if mark > 0 => put("why", ["bored", "costs", "Bored"][mark - 1].into()),
        "oops" if mark > 0 => put("what", ["E1", "E2", "E3"][mark - 1].into()),
        _ => {}
    }
    Value::Object(data)
}

fn events(stories: &[Story]) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, story) in stories.iter().enumerate() {
        let session = format!("s{}", if story.twin { index.saturating_sub(1) } else { index });
        let mut at = BASE + story.hour * 3_600 * SECOND;
        for (place, happening) in story.happenings.iter().enumerate() {
            at += if place == 0 { 0 } else { GAPS[happening.gap] };
            let kind = happening.kind.unwrap_or(place.min(4));
            let (device, shade) = (happening.device, happening.shade);
            let event = Event {
                client: if story.client { "acme" } else { "Ünïted" }.to_owned(),
                session: session.clone(),
                source: if happening.source { "/app" } else { "/web" },
                id: format!("{index}-{place}"),
                kind: kind_name(kind),
                at,
                data: payload(kind, happening.mark, device, shade),
                arrival: happening.arrival,
            };
            if let Some(copy) = &happening.copy {
                events.push(Event {
                    at: at + GAPS[copy.gap],
                    data: payload(kind, copy.mark, device, shade),
                    arrival: copy.arrival,
                    ..event.clone()
                });
            }
            events.push(event);
        }
    }
    events.sort_by_key(|event| event.arrival);
    events
}

fn predicate() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some("mark = 'x'")),
        1 => Just(Some("mark <> 'x'")),
        2 => Just(Some("mark IS DISTINCT FROM 'x'")),
    ]
}

fn condition(kinds: impl Strategy<Value = Vec<usize>>) -> impl Strategy<Value = Condition> {
    (kinds, predicate()).prop_map(|(kinds, predicate)| Condition {
        types: kinds.into_iter().map(kind_name).collect(),
        predicate,
    })
}

/// Mostly the stage's own kind of event, at times others or several.
fn stage(place: usize) -> impl Strategy<Value = Stage> {
    let kinds = prop_oneof![
        6 => Just(vec![place]),
        1 => prop::sample::subsequence(vec![0, 1, 2, 3, 4], 1..4),
    ];
    let step = prop_oneof![5 => Just(None), 1 => Just(Some(300)), 1 => Just(Some(3_600))];
    (condition(kinds), prop::bool::weighted(0.25), step).prop_map(
        move |(condition, optional, step_window_seconds)| Stage {
            name: format!("Stage {}", place + 1),
            condition,
            optional,
            step_window_seconds,
        },
    )
}

fn noted(kind: usize, names: [Option<&'static str>; 2]) -> impl Strategy<Value = Option<Noted>> {
    let noted = condition(Just(vec![kind])).prop_map(move |condition| Noted {
        condition,
        reason_field: names[0],
        code_field: names[1],
    });
    prop_oneof![1 => Just(None), 6 => noted.prop_map(Some)]
}

fn funnel() -> impl Strategy<Value = Funnel> {
    let exclusion = (condition(Just(vec![7])), 1..5_usize, 1..5_usize).prop_map(
        |(condition, from_stage, length)| Exclusion {
            condition,
            from_stage,
            to_stage: from_stage + length,
        },
    );
    let bounds = (
        prop::sample::select(vec![None, Some(0), Some(3_600), Some(21_600), Some(86_400)]),
        prop::sample::select(vec![1_800, 86_400, 86_400, 259_200]),
        prop::sample::select(vec![1_800, 86_400]),
        prop::sample::select(vec![None, None, Some(3_600), Some(172_800)]),
    );
    let stages = (2..6_usize).prop_flat_map(|count| (0..count).map(stage).collect::<Vec<_>>());
    let order = prop::sample::select(vec!["ordered", "ordered", "strict", "unordered"]);
    let activity = prop_oneof![
        2 => Just(None),
        1 => condition(Just(vec![0, 1, 2, 3, 4, 7])).prop_map(Some),
    ];
    let conditions = (noted(5, [Some("why"), None]), noted(6, [None, Some("what")]), activity);
    (order, bounds, conditions, prop::collection::vec(exclusion, 0..2), stages).prop_map(
        |(order, bounds, (abandonment, error, activity), exclusions, mut stages)| {
            let count = stages.len();
            for (place, stage) in stages.iter_mut().enumerate() {
                stage.optional &= order != "unordered" && place > 0 && place + 1 < count;
            }
            Funnel {
                name: "f".to_owned(),
                order,
                window_seconds: bounds.0,
                abandon_after_seconds: bounds.1,
                active_within_seconds: bounds.2,
                horizon_seconds: bounds.3,
                segments: ["device", "shade"],
                abandonment,
                error,
                activity,
                exclusions: exclusions.into_iter().filter(|it| it.to_stage <= count).collect(),
                stages,
            }
        },
    )
}

/// A question; the as-of instant is that of an event, or the one before it.
fn call() -> impl Strategy<Value = (prop::sample::Index, bool, Call)> {
    let first = NaiveDate::from_ymd_opt(2026, 3, 1).expect("a date");
    let period = |start: Range<u64>| {
        (start, 3..30_u64).prop_map(move |(start, days)| {
            let start = first + Days::new(start);
            start..start + Days::new(days)
        })
    };
    let whole = Just(first - Days::new(2)..first + Days::new(45));
    let call = (
        prop_oneof![period(5..25), whole],
        period(0..20),
        prop::sample::select(ZONES.to_vec()),
        prop::sample::select(SEGMENTS.to_vec()),
        prop::sample::select(vec![None, None, Some("Ünïted")]),
    );
    let call = call.prop_map(|(period, compare, zone, mix_by, client)| Call {
        as_of: 0,
        period,
        compare,
        zone,
        mix_by,
        client,
    });
    (any::<prop::sample::Index>(), prop::bool::weighted(0.2), call)
}

pub fn world() -> impl Strategy<Value = World> {
    let stories = prop::collection::vec(story(), 1..250);
    let asked = prop::collection::vec((funnel(), call()), 2..4);
    (stories, asked).prop_map(|(stories, asked)| {
        let events = events(&stories);
        let mut instants: Vec<i64> = events.iter().map(|event| event.at).collect();
        instants.sort_unstable();
        // Late instants let more have happened.
        let late = &instants[instants.len() / 2..];
        let ask =
            |(place, (mut funnel, (index, before, mut call))): (usize, (Funnel, (_, _, Call)))| {
                let index: prop::sample::Index = index;
                funnel.name = format!("f{place}");
                call.as_of = *index.get(late) - i64::from(before);
                (funnel, call)
            };
        World { asked: asked.into_iter().enumerate().map(ask).collect(), events }
    })
}
