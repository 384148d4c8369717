//! Every figure of a report against a slow, plain reading of its definition, over random logs.
//!
//! The reading shares nothing with the program but the definitions. `ONRAMP_NUMBERS_CASES` says how
//! many logs are drawn, `ONRAMP_NUMBERS_SEED` repeats a run; a failure tells its seed.

mod figures;
mod groups;
mod model;
mod statistics;
mod world;

use proptest::prop_assert_eq;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::golden::{compare::compare, mapping::mapped};
use crate::support::Scene;
use figures::{Basis, Frame, midnight, reasons};
use model::{Fate, Session};
use world::{Call, Event, Funnel, World, instant};

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {value:?}")))
}

#[test]
fn numbers_are_what_their_definitions_say() {
    let seed = variable("ONRAMP_NUMBERS_SEED").unwrap_or(1);
    let cases = variable("ONRAMP_NUMBERS_CASES").unwrap_or(8) as u32;
    let bytes: Vec<u8> = (0..4).flat_map(|part: u64| (seed + part).to_le_bytes()).collect();
    let config = Config {
        cases,
        max_shrink_iters: variable("ONRAMP_NUMBERS_SHRINKS").unwrap_or(60) as u32,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut compared = 0;
    let counted = std::cell::RefCell::new(&mut compared);
    let outcome = TestRunner::new_with_rng(config, rng).run(&world::world(), |world| {
        **counted.borrow_mut() += agree(&world)?;
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("ONRAMP_NUMBERS_SEED={seed}: {error}");
    }
    println!("numbers: compared {compared} values, seed {seed}");
}

/// Reports on a log as asked and compares every figure; gives how many.
fn agree(world: &World) -> Result<usize, TestCaseError> {
    let scene = Scene::new();
    let funnels = scene.path("funnels");
    std::fs::create_dir(&funnels).expect("a folder in the scene");
    for (funnel, _) in &world.asked {
        let file = funnels.join(format!("{}.toml", funnel.name));
        std::fs::write(file, funnel.text()).expect("a funnel file");
    }
    let common = ["--format", "json", "--funnels", funnels.to_str().expect("a Unicode path")];
    let mut compared = 0;
    for file in [false, true] {
        let of_file = world.events.iter().filter(|event| event.arrival.0 == file);
        let lines: Vec<String> = of_file.map(Event::line).collect();
        let path = scene.write(&format!("{file}.ndjson"), lines.join("\n"));
        let import = ["import", path.to_str().expect("a Unicode path"), "--namespace", "com.acme"];
        let import = scene.run(common.into_iter().chain(import));
        let accounted = import.succeeded().json();
        prop_assert_eq!(&accounted["rejected"], &json!({}));
        if !file
            && let Some((funnel, _)) = world.asked.first()
            && !lines.is_empty()
        {
            // Folds what is there, so that the rest is folded on top.
            scene.run(common.into_iter().chain(["report", "--funnel", &funnel.name])).succeeded();
        }
    }
    for (funnel, call) in &world.asked {
        let asked: Vec<String> = call.arguments();
        let arguments = ["report", "--funnel", &funnel.name]
            .into_iter()
            .chain(asked.iter().map(String::as_str));
        let report = scene.run(common.into_iter().chain(arguments)).succeeded().json();
        let expected = expected(&world.events, funnel, call);
        let found = mapped(&report, &json!({"mix-by": call.mix_by}), &expected);
        let comparison = compare(&found, &expected);
        compared += comparison.compared;
        let shown = comparison.differences.iter().take(20).cloned().collect::<Vec<_>>();
        if !shown.is_empty() {
            let reason = format!("of {}:\n{}", funnel.name, shown.join("\n"));
            return Err(TestCaseError::fail(reason));
        }
        let id = report["report_id"].as_str().expect("a report has an id");
        let again = scene.run(common.into_iter().chain(["report", "--reproduce", id])).succeeded();
        prop_assert_eq!(again.json(), report, "given again");
    }
    Ok(compared)
}

/// The whole document by the definitions.
fn expected(events: &[Event], funnel: &Funnel, call: &Call) -> Value {
    let zone = call.zone.parse().expect("a time zone");
    let frame = Frame { funnel, as_of: call.as_of, zone };
    let kept = model::kept(events);
    let mut sessions = model::sessions(&kept.events, funnel, call.as_of);
    sessions.retain(|it| call.client.is_none_or(|client| client == it.client));
    let between = |from: i64, to: i64| -> Vec<&Session> {
        let starts = |it: &&Session| it.started().is_some_and(|at| (from..to).contains(&at));
        sessions.iter().filter(starts).collect()
    };
    let counted = |from: i64, to: i64| -> Vec<&Session> {
        between(from, to).into_iter().filter(|it| !it.excluded).collect()
    };
    let (from, to) = (midnight(call.period.start, zone), midnight(call.period.end, zone));
    let now = counted(from, to);
    let mature: Vec<&Session> =
        now.iter().filter(|it| frame.holds(Basis::Mature, it)).copied().collect();
    let other = (midnight(call.compare.start, zone), midnight(call.compare.end, zone));
    let mut periods = [(from, to), other];
    periods.sort_unstable();
    let [before, after] = periods.map(|(from, to)| counted(from, to));
    let fate = |is: fn(&Fate) -> bool| now.iter().filter(|it| is(&it.fate)).count();
    let orphan = |it: &&Session| it.started().is_none() && (from..to).contains(&it.first);
    let by_name = |stage: usize| now.iter().filter(|it| it.by_name[stage]).count();
    json!({
        "funnel": funnel.name,
        "as_of": instant(call.as_of),
        "period": [instant(from), instant(to)],
        "input": {
            "events": events.len(),
            "duplicates": events.len() - kept.events.len(),
            "conflicting_duplicates": kept.conflicting,
            "after_as_of": kept.events.iter().filter(|event| event.at > call.as_of).count(),
        },
        "sessions": now.len(),
        "orphan_sessions": sessions.iter().filter(orphan).count(),
        "excluded": between(from, to).len() - now.len(),
        "completed": fate(|it| *it == Fate::Completed),
        "abandoned": fate(|it| matches!(it, Fate::Abandoned { .. })),
        "in_flight": fate(|it| matches!(it, Fate::InFlight { .. })),
        "active": fate(|it| *it == Fate::InFlight { active: true }),
        "reached_by_name": (0..frame.stages()).map(by_name).collect::<Vec<_>>(),
        "raw": frame.basis(Basis::Raw, &now),
        "mature": frame.basis(Basis::Mature, &now),
        "times": frame.times(&now),
        "drop_off": frame.drop_off(&now),
        "drop_off_mature": frame.drop_off(&mature),
        "heatmap": frame.heatmap(&now),
        "error_patterns": frame.error_patterns(&now),
        "time_analysis": frame.dwell(&now),
        "reasons": reasons(&now),
        "cohorts": frame.cohorts(&now, from, to),
        "segments": frame.segments(&now),
        "comparison": frame.comparison(&before, &after, call.mix_by),
    })
}
