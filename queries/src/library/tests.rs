use std::collections::BTreeSet;
use std::path::Path;

use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;

use super::*;
use crate::access::Scope;
use crate::sql::tests::empty_source;
use crate::sql::{Turn, session};

#[test]
fn every_file_is_in_the_library_and_tells_what_it_is_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let files = std::fs::read_dir(folder).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let known = FILES.iter().map(|(name, _)| format!("{name}.sql")).collect();
    assert_eq!(files, known);
    for query in all() {
        assert!(!query.title.is_empty() && query.description.ends_with('.'), "{query:?}");
        let declared = query.statement.lines().filter(|line| line.starts_with("-- $")).count();
        assert_eq!(
            query.parameters.len(),
            declared,
            "{}: a parameter is not understood",
            query.name
        );
        for parameter in &query.parameters {
            let used = format!("${}", parameter.name);
            assert!(
                query.statement.matches(&used).count() > 1,
                "{}: {used} is not used",
                query.name
            );
        }
    }
}

/// Values for what must be given.
fn needed(query: &Query) -> Vec<(String, String)> {
    let needed = query.parameters.iter().filter(|parameter| parameter.default.is_none());
    needed.map(|parameter| (parameter.name.to_owned(), "1".to_owned())).collect()
}

#[tokio::test]
async fn every_query_runs_on_an_empty_lake() {
    let (_folder, source) = empty_source();
    for query in all() {
        let session = session(&source, &Scope::Everything, None).unwrap();
        let plan = query.plan(&session, &needed(&query)).await;
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error:?}", query.name));
        let rows = session.rows(plan, Turn::default()).await.unwrap();
        let rows: Vec<_> =
            rows.try_collect().await.unwrap_or_else(|error| panic!("{}: {error}", query.name));
        let count: usize = rows.iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(count, 0, "{}:\n{}", query.name, pretty_format_batches(&rows).unwrap());
    }
}

#[tokio::test]
async fn wrong_parameters_are_told_apart() {
    let (_folder, source) = empty_source();
    let session = session(&source, &Scope::Everything, None).unwrap();
    let query = find("lost_sessions").unwrap();
    for (name, value, words) in [
        ("stag", "1", "did you mean stage?"),
        ("stage", "two", "stage = \"two\" is no integer"),
        ("stage", "1; DROP TABLE events", "is no integer"),
        ("limit", "3", "needs a stage"),
    ] {
        let given = [(name.to_owned(), value.to_owned())];
        let Err(error) = query.plan(&session, &given).await else {
            panic!("{name}={value} was taken")
        };
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(find("stage").unwrap_err().to_string().contains("did you mean stages?"));
    // A value is a value, whatever it looks like.
    let given = [("funnel".to_owned(), "x' OR '1' = '1".to_owned())];
    let plan = find("loss_reasons").unwrap().plan(&session, &given).await.unwrap();
    let rows = session.rows(plan, Turn::default()).await.unwrap();
    let rows: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
}

/// Holds the page against the files, or writes it when `ONRAMP_BLESS=1`.
#[test]
fn docs_of_queries_are_what_the_files_say() {
    crate::sql::tests::hold("queries.md", &reference());
}
