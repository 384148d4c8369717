//! Loading sessions for a report.

use onramp_schemas::tables::EVENTS;

use super::*;

#[tokio::test]
async fn periods_clients_and_the_past_choose_sessions() {
    let mut test = TestLake::new();
    let other = Event { client: "zeta".into(), ..event("s", "t.one", 15, "") };
    test.append(&[
        event("s", "t.one", 10, ""),
        other,
        event("o", "t.two", 12, ""),
        event("late", "t.two", 20, ""),
        event("late", "t.one", 30, ""),
    ])
    .await;
    let within =
        |periods: &[(i64, i64)], at: i64| LoadRequest { periods: periods.to_vec(), ..as_of(at) };
    let chosen = async |request: LoadRequest| {
        let dataset = loaded(&test, &funnel(), request).await.unwrap();
        let started = |words: &String| {
            words.split_inclusive([':', ' ']).take(3).collect::<String>().trim_end().to_owned()
        };
        words(&dataset).iter().map(started).collect::<Vec<_>>()
    };
    assert_eq!(chosen(as_of(100)).await, ["1 orphans", "acme: 10", "acme: 30", "zeta: 15"]);
    assert_eq!(chosen(as_of(11)).await, ["acme: 10"]);
    assert_eq!(chosen(within(&[(10, 13)], 100)).await, ["1 orphans", "acme: 10"]);
    assert_eq!(chosen(within(&[(20, 21)], 100)).await, [] as [&str; 0]);
    assert_eq!(chosen(within(&[(20, 21)], 29)).await, ["1 orphans"], "it had not started yet");
    assert_eq!(chosen(within(&[(30, 31), (15, 16)], 100)).await, ["acme: 30", "zeta: 15"]);
    assert_eq!(
        chosen(LoadRequest { client_id: Some("zeta".into()), ..as_of(100) }).await,
        ["zeta: 15"]
    );
    assert_eq!(
        chosen(LoadRequest { client_id: Some("zeta".into()), ..as_of(14) }).await,
        [] as [&str; 0]
    );
}

#[tokio::test]
async fn an_attribute_that_nobody_has_is_refused() {
    let mut test = TestLake::new();
    test.append(&[event("s", "t.one", 10, r#"{"plan":"pro"}"#)]).await;
    let asked = |name: &str| LoadRequest { attributes: vec![name.into()], ..as_of(100) };
    for fine in ["plan", "language", "client_id"] {
        loaded(&test, &funnel(), asked(fine)).await.unwrap();
    }
    let error = loaded(&test, &funnel(), asked("plaN")).await.unwrap_err().to_string();
    assert_eq!(error, r#"no session has an attribute "plaN"; known are client_id, plan, v"#);
}

#[tokio::test]
async fn the_watermark_is_the_newest_event() {
    let mut test = TestLake::new();
    test.append(&[event("a", "t.one", 10, ""), event("b", "t.one", 86_400_000_123, "")]).await;
    test.append(&[event("c", "t.one", 86_400_000_122, "")]).await;
    let snapshot = test.lake.open_table(&EVENTS).await.unwrap().unwrap().snapshot().await.unwrap();
    assert_eq!(watermark(&test.lake, &test.engine, &snapshot).await.unwrap(), Some(86_400_000_123));
    let empty = Snapshot { files: vec![], ..snapshot };
    assert_eq!(watermark(&test.lake, &test.engine, &empty).await.unwrap(), None);
}
