//! Statements that never end, or explode.

use std::time::Duration;

use super::*;

fn service(source: Source, limits: Limits) -> Service {
    Service::new(source, limits, tokio::runtime::Handle::current())
}

async fn planned(statement: &str) -> Result<usize, String> {
    let (_folder, source) = empty_source();
    let rows = run(&source, &Caller::local(), statement).await.map_err(|error| match error {
        SqlError::Statement(inner) => inner.to_string(),
        other => other.to_string(),
    })?;
    let rows: Vec<_> = rows.try_collect().await.map_err(|error| error.to_string())?;
    Ok(rows.iter().map(|batch| batch.num_rows()).sum())
}

#[tokio::test]
async fn deep_and_wide_statements_are_refused_with_a_reason() {
    let chain = |word: &str, by: &str, times: usize| vec![word; times].join(by);
    let laughs = (1..40).fold("WITH c0 AS (SELECT 1 AS n)".to_owned(), |text, at| {
        let last = at - 1;
        format!("{text}, c{at} AS (SELECT a.n FROM c{last} a JOIN c{last} b ON a.n = b.n)")
    });
    for (statement, words) in [
        (format!("SELECT {}1{}", "(".repeat(500_000), ")".repeat(500_000)), "ecursion"),
        (format!("SELECT {}", chain("1", "+", 200_000)), "nested deeper than"),
        (format!("SELECT {} true", "NOT ".repeat(100_000)), "end of statement, found: NOT"),
        (format!("SELECT {}", chain("id = 'x'", " OR ", 10_000)), "nested deeper than"),
        (format!("SELECT 1{}", "::int".repeat(100_000)), "nested deeper than"),
        (chain("SELECT 1", " UNION ALL ", 10_000), "selects and tables"),
        (format!("SELECT 1 FROM {}", chain("events", " CROSS JOIN ", 1_000)), "selects and tables"),
        (format!("{laughs} SELECT count(*) FROM c39"), "selects and tables"),
        (format!("SELECT '{}'", "x".repeat(100_000)), "stands in the statement"),
        (format!("SELECT 1 -- {}", "x".repeat(10 << 20)), "at most"),
        ("SELECT regexp_like('x', '(a{1000}){1000}{1000}')".to_owned(), "did not compile"),
        ("SELECT regexp_like('x', id) FROM events".to_owned(), "must be a text, not a column"),
        ("SELECT 'x' ~ id FROM events".to_owned(), "must be a text, not a column"),
        ("SELECT 'x' ~ (SELECT max(id) FROM events)".to_owned(), "must be a text, not a column"),
    ] {
        let refused = planned(&statement).await.unwrap_err();
        let start = &statement[..statement.len().min(60)];
        assert!(refused.contains(words), "{start}…: {refused:.300}");
    }
}

#[tokio::test]
async fn what_people_and_programs_write_passes() {
    let list: Vec<String> = (0..10_000).map(|number| format!("'{number}'")).collect();
    let conditions = vec!["id = 'x'"; 190].join(" OR ");
    for statement in [
        format!("SELECT id FROM events WHERE id IN ({})", list.join(", ")),
        format!("SELECT count(*) FROM events WHERE {conditions}"),
        format!("SELECT {}", vec!["1"; 190].join(" + ")),
        format!("SELECT {}1{}", "(".repeat(20), ")".repeat(20)),
        vec!["SELECT 1"; 60].join(" UNION ALL "),
        "SELECT regexp_like('abc', '^' || 'a')".to_owned(),
        "SELECT * FROM (SELECT unnest(range(100)) AS n) WHERE n % 2 = 0".to_owned(),
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT n FROM r"
            .to_owned(),
    ] {
        let start = &statement[..statement.len().min(60)];
        assert!(planned(&statement).await.is_ok(), "{start}…: {:?}", planned(&statement).await);
    }
}

const ENDLESS: [&str; 3] = [
    "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b",
    "SELECT a.value FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b \
     ON a.value % 7 < b.value % 5 WHERE a.value + b.value < 0",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_never_ends_is_ended_and_leaves_its_place() {
    let (_folder, source) = empty_source();
    let limits =
        Limits { deadline: Duration::from_millis(300), max_concurrent: 1, ..Limits::default() };
    let pool = Arc::clone(&source.engine.scratch().runtime_env().memory_pool);
    let service = service(source, limits);
    for statement in ENDLESS {
        let answer = service.answer(Caller::local(), statement.to_owned()).await;
        assert!(matches!(answer, Err(SqlError::Deadline { .. })), "{statement}: {answer:?}");
        // Its place is free once its work has really ended.
        let place = service.running.acquire();
        let place = tokio::time::timeout(Duration::from_secs(60), place).await;
        assert!(place.is_ok(), "still at work: {statement}");
        let freed = async {
            while pool.reserved() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let freed = tokio::time::timeout(Duration::from_secs(60), freed).await;
        assert!(freed.is_ok(), "{} bytes are still held: {statement}", pool.reserved());
    }
    let dropped = service.answer(Caller::local(), ENDLESS[0].to_owned());
    assert!(tokio::time::timeout(Duration::from_millis(50), dropped).await.is_err());
    let place = tokio::time::timeout(Duration::from_secs(60), service.running.acquire()).await;
    assert!(place.is_ok(), "a caller hung up, and the work goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_heavy_statements_stay_within_their_memory() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
    let options = Options { memory_limit_bytes: 64 << 20, ..Options::default() };
    let engine = Engine::new(&options).unwrap();
    let source = Source { engine: engine.clone(), ..source(lake) };
    let limits = Limits {
        memory_limit_bytes: 4 << 20,
        max_concurrent: 16,
        deadline: Duration::from_secs(300),
        ..Limits::default()
    };
    let service = Arc::new(service(source, limits));
    let heavy = [
        "SELECT array_agg(repeat('x', 100)) FROM generate_series(1, 1000000)",
        "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 50) || value FROM generate_series(1, 200000))",
        "SELECT value FROM generate_series(1, 200000) ORDER BY repeat('x', 50) || value LIMIT 5 OFFSET 100000",
        "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 1000000)",
    ];
    let asked = (0..16).map(|number| {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let statement = heavy[number % heavy.len()].to_owned();
            (statement.clone(), service.answer(Caller::local(), statement).await)
        })
    });
    let mut exhausted = 0;
    for answer in asked.collect::<Vec<_>>() {
        match answer.await.unwrap() {
            (_, Ok(_)) => {}
            (statement, Err(SqlError::Statement(error))) => {
                let words = error.to_string();
                assert!(
                    matches!(
                        error.find_root(),
                        datafusion::error::DataFusionError::ResourcesExhausted(_)
                    ),
                    "{statement}: {words}"
                );
                exhausted += 1;
            }
            (statement, Err(error)) => panic!("{statement}: {error}"),
        }
    }
    assert!(exhausted >= 8, "{exhausted} of 16 wanted more than they may have");
    let small = service.answer(Caller::local(), "SELECT 1".to_owned()).await;
    assert_eq!(small.unwrap().batches[0].num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sort_without_end_does_not_fill_the_disk() {
    let (_folder, source) = empty_source();
    let limits = Limits { memory_limit_bytes: 4 << 20, ..Limits::default() };
    let statement = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY a.value * b.value % 7919) AS n \
        FROM generate_series(1, 100) a CROSS JOIN generate_series(1, 1000000) b)";
    let answer = service(source, limits).answer(Caller::local(), statement.to_owned()).await;
    let Err(SqlError::Statement(error)) = answer else { panic!("{answer:?}") };
    assert!(error.to_string().contains("disk"), "{error}");
}

#[tokio::test]
async fn answers_have_a_bound() {
    let (_folder, source) = empty_source();
    let limits = Limits { max_rows: 1_000, max_answer_bytes: 1 << 20, ..Limits::default() };
    let service = service(source, limits);
    let ask = |statement: &str| service.answer(Caller::local(), statement.to_owned());
    assert!(ask("SELECT value FROM generate_series(1, 1000)").await.is_ok());
    let many = ask("SELECT value FROM generate_series(1, 1001)").await;
    assert!(matches!(many, Err(SqlError::TooManyRows { most: 1_000 })), "{many:?}");
    let large = ask("SELECT repeat('x', 5000) FROM generate_series(1, 1000)").await;
    assert!(matches!(large, Err(SqlError::TooLarge { .. })), "{large:?}");
    let long = ask(&format!("SELECT 1 -- {}", "x".repeat(300_000))).await;
    assert!(matches!(long, Err(SqlError::TooLong { .. })), "{long:?}");
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_told_so() {
    let (_folder, source) = empty_source();
    let service = service(source, Limits { max_concurrent: 1, ..Limits::default() });
    let _places = service.present.acquire_many(2).await.unwrap();
    let answer = service.answer(Caller::local(), "SELECT 1".to_owned()).await;
    assert!(matches!(answer, Err(SqlError::Busy { most: 1 })), "{answer:?}");
}

#[tokio::test]
async fn rows_that_are_copied_are_counted_before() {
    let wide = (0..41).map(|n| format!("repeat('x', 8000) AS c{n}")).collect::<Vec<_>>().join(", ");
    let nested = format!("make_array({})", ["range(1000)"; 9].join(", "));
    for (statement, words) in [
        (format!("SELECT {wide} FROM generate_series(1, 1000000)"), "more than 40"),
        (
            "SELECT array_to_string(range(1000), repeat('x', 8000)) FROM generate_series(1, 2)".to_owned(),
            "would make",
        ),
        ("SELECT array_replace_all(range(1000), 1, repeat('x', 8000)) FROM generate_series(1, 2)".to_owned(), "array"),
        (
            "SELECT repeat('x', 8000 + value % 2), unnest(range(900)), repeat('y', 8000 - value % 2), \
             repeat('z', 8000 - value % 2) FROM generate_series(1, 10)"
                .to_owned(),
            "unnest would make",
        ),
        (
            "SELECT array_agg(value) OVER (ORDER BY value) FROM generate_series(1, 1000000)".to_owned(),
            "array_agg is not answered over a window",
        ),
        (
            "SELECT median(value) OVER (ORDER BY value) FROM generate_series(1, 1000000)".to_owned(),
            "whole partitions only",
        ),
        (format!("SELECT array_repeat({nested}, 100) FROM generate_series(1, 2)"), "would make"),
    ] {
        let refused = planned(&statement).await.unwrap_err();
        assert!(refused.contains(words), "{statement:.60}…: {refused:.300}");
    }
    let unnested = "SELECT unnest(range(100 + value % 2)), repeat('x', 8000 + value % 2) FROM generate_series(1, 1000)";
    assert_eq!(planned(unnested).await, Ok(100_500), "in pieces");
    let median =
        "SELECT value, median(value) OVER (PARTITION BY value % 3) FROM generate_series(1, 9)";
    assert_eq!(planned(median).await, Ok(9));
}
