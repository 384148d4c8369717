//! docker-compose.yml.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{read, settings};

struct Compose(Value);

impl Compose {
    fn parse(text: &str) -> Self {
        Self(serde_saphyr::from_str(text).expect("YAML"))
    }

    fn services(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0["services"].as_object().unwrap().iter()
    }

    /// What is wrong with it, a line each.
    fn problems(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.services().map(|(name, _)| name).collect();
        let mut used = BTreeSet::new();
        let mut problems = Vec::new();
        for (name, service) in self.services() {
            let image = service["image"].as_str().unwrap_or_default();
            if !pinned(image) {
                problems.push(format!("{name}: the image {image:?} is not pinned"));
            }
            for needed in service["depends_on"].as_object().into_iter().flatten().map(|(n, _)| n) {
                if !names.contains(needed) {
                    problems.push(format!("{name} depends on {needed}, which is no service"));
                }
            }
            for volume in texts(&service["volumes"]) {
                let source = volume.split(':').next().unwrap_or_default().to_owned();
                if source.starts_with('.') && !crate::support::checkout(&source).exists() {
                    problems.push(format!("{name}: {source} is not there"));
                } else if !source.starts_with('.') {
                    used.insert(source);
                }
            }
            for port in texts(&service["ports"]) {
                if !port.starts_with("127.0.0.1:") {
                    problems.push(format!("{name}: the port {port} is open to everybody"));
                }
            }
            if service.get("build").is_some() {
                problems.extend(self.problems_of_ours(name, service));
            }
        }
        let declared: BTreeSet<String> =
            self.0["volumes"].as_object().unwrap().keys().cloned().collect();
        if declared != used {
            problems.push(format!("volumes {declared:?} are declared and {used:?} are used"));
        }
        problems
    }

    /// What is wrong with a service that runs `onramp`.
    fn problems_of_ours(&self, name: &str, service: &Value) -> Vec<String> {
        let environment = environment(service);
        let settings = match settings(&environment) {
            Ok(settings) => settings,
            Err(problem) => return vec![format!("{name}: {problem}")],
        };
        let mut problems = Vec::new();
        let brokers = settings["ingest.brokers"].as_str().unwrap_or_default();
        let listeners = &self.0["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"];
        if !listeners
            .as_str()
            .unwrap_or_default()
            .split(',')
            .any(|l| l.ends_with(&format!("//{brokers}")))
        {
            problems.push(format!("{name}: no listener of kafka is at {brokers}"));
        }
        let topic = settings["ingest.topic"].as_str().unwrap_or_default().to_owned();
        if !texts(&self.0["services"]["topic"]["command"]).contains(&topic) {
            problems.push(format!("{name}: nobody creates the topic {topic}"));
        }
        let store = &self.0["services"]["store"];
        let endpoint = environment.get("AWS_ENDPOINT_URL").map_or("", String::as_str);
        let port = texts(&store["command"]).into_iter().find(|word| word.starts_with(':'));
        if endpoint != format!("http://store{}", port.unwrap_or_default()) {
            problems.push(format!("{name}: the store is not at {endpoint}"));
        }
        for (ours, its) in
            [("AWS_ACCESS_KEY_ID", "ROOT_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "ROOT_SECRET_KEY")]
        {
            if store["environment"][its].as_str() != environment.get(ours).map(String::as_str) {
                problems.push(format!("{name}: {ours} is not the store's {its}"));
            }
        }
        let bucket = environment["ONRAMP_LAKE"].trim_start_matches("s3://").split('/').next();
        let bucket = format!("/buckets/{}", bucket.unwrap_or_default());
        if !texts(&self.0["services"]["bucket"]["command"]).contains(&bucket) {
            problems.push(format!("{name}: nobody creates {bucket}"));
        }
        problems
    }
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let variables = service["environment"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().expect("values of variables are quoted").to_owned();
    variables.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// Whether an image is named with a version of three numbers, or two as Debian counts.
pub fn pinned(image: &str) -> bool {
    let Some((_, tag)) = image.rsplit_once(':') else { return false };
    let version = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
    let numbers = version.split('.');
    numbers.clone().count() >= 2 && numbers.clone().all(|n| n.parse::<u32>().is_ok())
}

#[test]
fn every_service_fits_the_others_and_the_program() {
    let compose = Compose::parse(&read("docker-compose.yml"));
    assert_eq!(compose.problems(), Vec::<String>::new());
    // What the tests run on is what the compose file runs.
    let image = |name: &str| compose.0["services"][name]["image"].as_str().unwrap().to_owned();
    let kafka = image("kafka").rsplit(':').next().unwrap().to_owned();
    assert!(read("tests/kafka/pom.xml").contains(&format!("<kafka>{kafka}</kafka>")), "{kafka}");
    let store = image("store").rsplit(':').next().unwrap().to_owned();
    assert!(read("tests/s3/store.sh").contains(&format!("versitygw@{store}")), "{store}");
}

#[test]
fn what_is_wrong_in_it_is_found() {
    let good = read("docker-compose.yml");
    for (right, wrong, word) in [
        ("ONRAMP__INGEST__TOPIC", "ONRAMP__INGEST__TOPIK", "did you mean topic"),
        ("ONRAMP__INGEST__BROKERS", "ONRAMP_INGEST_BROKERS", "no variable of onramp"),
        ("BROKERS: kafka:9092", "BROKERS: kafka:9999", "no listener"),
        ("TOPIC: onboarding.events", "TOPIC: other", "nobody creates the topic"),
        ("apache/kafka:4.3.1", "apache/kafka:latest", "not pinned"),
        ("http://store:7070", "http://store:7071", "the store is not at"),
        ("/buckets/lake", "/buckets/lakes", "nobody creates"),
        ("ROOT_SECRET_KEY: onramp-secret", "ROOT_SECRET_KEY: other", "not the store's"),
        ("      topic: { condition", "      topik: { condition", "no service"),
        ("onramp:/var/lib/onramp", "lakes:/var/lib/onramp", "are declared"),
        ("127.0.0.1:7070:7070", "7070:7070", "open to everybody"),
    ] {
        assert!(good.contains(right), "{right}");
        let problems = Compose::parse(&good.replacen(right, wrong, 1)).problems().join("\n");
        assert!(problems.contains(word), "{wrong}: {problems:?}");
    }
}

/// The command and the variables of the services that run `onramp`.
pub fn ours() -> Vec<(Vec<String>, BTreeMap<String, String>)> {
    let compose = Compose::parse(&read("docker-compose.yml"));
    let ours = compose.services().filter(|(_, service)| service.get("build").is_some());
    ours.map(|(_, service)| (texts(&service["command"]), environment(service))).collect()
}
