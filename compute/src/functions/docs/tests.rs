use std::path::Path;

use arrow::util::pretty::pretty_format_batches;

use super::*;
use crate::engine::{Engine, Options};

/// Holds the page against the registry, or writes it when `ONRAMP_BLESS=1`.
#[test]
fn the_page_is_what_the_registry_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/generated/functions.md");
    if std::env::var_os("ONRAMP_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&file, reference()).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == reference(),
        "docs/generated/functions.md is not what its definition says; run \
         `ONRAMP_BLESS=1 cargo test --workspace --lib docs` and commit it"
    );
}

#[tokio::test]
async fn every_example_answers_what_it_states() {
    let context = Engine::new(&Options::default()).unwrap().scratch();
    let aggregates = aggregates();
    let scalars = scalars();
    let pages = aggregates.iter().map(|function| (function.name(), function.documentation()));
    let pages =
        pages.chain(scalars.iter().map(|function| (function.name(), function.documentation())));
    for (name, page) in pages {
        let (statement, stated) = example(page.unwrap());
        assert!(statement.contains(&format!("{name}(")), "{name}'s example does not call it");
        let rows = context.sql(statement).await.unwrap().collect().await.unwrap();
        let answer = pretty_format_batches(&rows).unwrap().to_string();
        assert!(answer == stated, "{statement}\nanswers\n{answer}\nand states\n{stated}");
    }
}

#[tokio::test]
async fn sessions_know_every_function_and_what_it_is_for() {
    let context = Engine::new(&Options::default()).unwrap().scratch();
    let names = "SELECT DISTINCT routine_name FROM information_schema.routines \
        WHERE description IS NOT NULL AND syntax_example IS NOT NULL";
    let rows = context.sql(names).await.unwrap().collect().await.unwrap();
    let known = pretty_format_batches(&rows).unwrap().to_string();
    for name in aggregates().iter().map(|f| f.name()).chain(scalars().iter().map(|f| f.name())) {
        assert!(known.contains(&format!("| {name} ")), "{name} is not known");
    }
}
