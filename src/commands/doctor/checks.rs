//! What the doctor looks at.

use object_store::ObjectStoreExt;
use onramp_compute::sessions;
use onramp_ingest::kafka;
use onramp_lake::Lake;
use onramp_schemas::tables;

use super::Check;
use crate::commands::{Context, kafka_options};
use crate::{funnels, instant};

/// How far the newest event may lie ahead of the clock before one of both is wrong.
const AHEAD_US: i64 = 3_600_000_000;

/// Every check, in the order in which a failure explains later ones.
pub async fn all(context: &Context) -> Vec<Check> {
    let mut checks = vec![Check::ok("configuration", "every setting is known and fits")];
    match context.lake() {
        Ok(lake) => {
            checks.push(writable(&lake).await);
            checks.push(readable(&lake).await);
            checks.push(valid_funnels(context, &lake).await);
            checks.push(clock(context, &lake).await);
        }
        Err(error) => checks.push(Check::failed(
            "lake address",
            format!("{error:#}"),
            "write a folder, file:///folder or s3://bucket/prefix",
        )),
    }
    checks.push(timezone(context));
    match &context.config().ingest.brokers {
        Some(_) => checks.push(topic(context).await),
        None => checks.push(Check::ok("kafka", "not configured")),
    }
    checks
}

async fn writable(lake: &Lake) -> Check {
    let probe = object_store::path::Path::from("_onramp_probe/doctor");
    let store = lake.store();
    let tried = async {
        store.put(&probe, "probe".into()).await?;
        store.delete(&probe).await
    };
    match tried.await {
        Ok(()) => Check::ok("lake writable", lake.root()),
        Err(error) => Check::failed(
            "lake writable",
            format!("{}: {error}", lake.root()),
            "check the address, that you may write there, free space, and for S3 the AWS_* variables",
        ),
    }
}

async fn readable(lake: &Lake) -> Check {
    let mut found = Vec::new();
    for table in tables::ALL {
        match lake.open_table(table).await {
            Ok(Some(opened)) => match opened.snapshot().await {
                Ok(snapshot) => found.push(format!(
                    "{} v{}, {} files",
                    table.name,
                    snapshot.version,
                    snapshot.files.len()
                )),
                Err(error) => return unreadable(table.name, &error),
            },
            Ok(None) => {}
            Err(error) => return unreadable(table.name, &error),
        }
    }
    match found.is_empty() {
        true => Check::ok("tables", "none yet; the first import or `onramp up` makes them"),
        false => Check::ok("tables", found.join("; ")),
    }
}

fn unreadable(table: &str, error: &dyn std::error::Error) -> Check {
    let mut found = format!("{table}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        found += &format!(": {error}");
        cause = error.source();
    }
    Check::failed("tables", found, "use the version of onramp that wrote the lake, or a newer one")
}

async fn valid_funnels(context: &Context, lake: &Lake) -> Check {
    const MENDING: &str = "`onramp funnel validate FILE` shows the place";
    let loaded = match context.funnels(lake).await {
        Ok(loaded) => loaded,
        Err(error) => return Check::failed("funnels", format!("{error:#}"), MENDING),
    };
    let engine = match context.engine() {
        Ok(engine) => engine,
        Err(error) => {
            return Check::failed("funnels", format!("{error:#}"), "check compute.spill_dir");
        }
    };
    for (funnel, origin) in loaded.iter() {
        if let Err(error) = funnels::check(&engine, funnel) {
            return Check::failed("funnels", format!("{origin}: {error:#}"), MENDING);
        }
    }
    let names: Vec<&str> = loaded.iter().map(|(funnel, _)| funnel.name.as_str()).collect();
    Check::ok("funnels", names.join(", "))
}

async fn clock(context: &Context, lake: &Lake) -> Check {
    let now = context.clock.now();
    let watermark = async {
        let Some(events) = lake.open_table(&tables::EVENTS).await? else { return Ok(None) };
        let engine = context.engine()?;
        anyhow::Ok(sessions::watermark(lake, &engine, &events.snapshot().await?).await?)
    };
    match watermark.await {
        Ok(None) => Check::ok("clock", format!("{}; no events yet", instant::format(now))),
        Ok(Some(watermark)) if watermark > now + AHEAD_US => Check::failed(
            "clock",
            format!(
                "it is {}, but the newest event is of {}",
                instant::format(now),
                instant::format(watermark)
            ),
            "set this machine's clock, or that of the app which sent the event",
        ),
        Ok(Some(watermark)) => Check::ok(
            "clock",
            format!("{}; newest event {}", instant::format(now), instant::format(watermark)),
        ),
        Err(error) => Check::failed("clock", format!("{error:#}"), "mend the tables first"),
    }
}

fn timezone(context: &Context) -> Check {
    let name = &context.config().report.timezone;
    match name.parse::<chrono_tz::Tz>() {
        Ok(_) => Check::ok("time zone", name),
        Err(_) => Check::failed(
            "time zone",
            format!("{name:?} is no IANA time zone"),
            "set report.timezone to a name such as Europe/Berlin",
        ),
    }
}

/// Asks the brokers as `ingest` does: they answer, the topic is there, the cluster tells its name.
async fn topic(context: &Context) -> Check {
    let options = match kafka_options(context.config()) {
        Ok(options) => options,
        Err(error) => return Check::failed("kafka", format!("{error:#}"), "set ingest.brokers"),
    };
    let found = format!("{} is there", options.topic);
    match tokio::task::spawn_blocking(move || kafka::check(&options)).await {
        Ok(Ok(cluster)) => Check::ok("kafka", format!("{found}, in cluster {cluster}")),
        Ok(Err(error)) => Check::failed(
            "kafka",
            error.to_string(),
            "check ingest.brokers (host:port) and ingest.topic, and that no firewall is between",
        ),
        Err(error) => Check::failed("kafka", error.to_string(), "run it again"),
    }
}
