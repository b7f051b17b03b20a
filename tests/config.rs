//! Configuration from the outside: the sample, the layers, and what is said about mistakes.
//!
//! Each file in `tests/configs/bad` begins with the sentences it must be answered with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutover::clients::target::Address;
use cutover::config::{Config, Inputs, Origin, Problems, Vault, keys, load, show, targets};

fn configs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn inputs(file: &Path) -> Inputs {
    Inputs { file: Some(file.to_owned()), here: file.parent().unwrap().to_owned(), ..Inputs::default() }
}

fn parse(
    text: &str,
    env: &[(&str, &str)],
    flags: &[(&'static str, &str, &'static str)],
) -> Result<Config, Problems> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cutover.toml");
    std::fs::write(&file, text).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
    let flags = flags.iter().map(|(k, v, f)| (*k, (*v).to_owned(), *f)).collect();
    load(&Inputs { env, flags, ..inputs(&file) })
}

#[test]
fn every_mistake_is_answered_with_its_sentence() {
    let files = configs("bad");
    assert!(files.len() >= 20, "only {} fixtures", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("#! ")).collect();
        let base = file.parent().unwrap().to_string_lossy().into_owned();
        let problems = load(&inputs(&file)).expect_err(&file.to_string_lossy()).0;
        let found: Vec<_> = problems
            .iter()
            .map(|p| p.to_string().replacen(&format!("{base}/"), "", 1).replace(&base, "BASE"))
            .collect();
        assert_eq!(found.len(), expected.len(), "{}: {found:#?}", file.display());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                found.starts_with(expected),
                "{}:\n found    {found}\n expected {expected}",
                file.display()
            );
        }
    }
}

#[test]
fn good_files_load() {
    for file in configs("good") {
        load(&inputs(&file)).unwrap_or_else(|p| panic!("{}: {p}", file.display()));
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let said = |file: &Path| load(&inputs(file)).unwrap_err().to_string();
    let missing = said(&dir.path().join("no.toml"));
    assert!(missing.contains("no.toml cannot be read") && missing.contains("cutover init"), "{missing}");
    assert!(said(dir.path()).contains("is a folder"));
    let binary = dir.path().join("binary.toml");
    std::fs::write(&binary, b"[environment]\nname = \"\xff\xfe\"\n").unwrap();
    assert!(said(&binary).contains("not UTF-8 text from line 2 on"));
}

#[test]
fn the_sample_parses_and_has_every_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sample = std::fs::read_to_string(root.join("assets/cutover.sample.toml")).unwrap();
    let (entries, problems) = cutover::config::file::parse(&sample, |l| Origin::File("sample".into(), l));
    assert_eq!(problems, []);
    let written: Vec<_> = entries.into_iter().map(|e| e.path).collect();
    let missing: Vec<_> = keys::all().map(|(key, _)| key).filter(|k| !written.contains(k)).collect();
    assert!(missing.is_empty(), "not in the sample: {missing:?}");
    let without_files: String =
        sample.lines().filter(|l| !l.starts_with("tls.c")).map(|l| format!("{l}\n")).collect();
    parse(&without_files, &[("LANGFUSE_CANARY_SECRET_KEY", "sk-lf-1")], &[]).unwrap();
}

#[test]
fn flags_win_over_environment_over_file_over_defaults_and_origins_are_kept() {
    let file = "[environment]\nname = \"file\"\n[kubernetes]\nnamespace = \"file\"\ncontext = \"file\"\n";
    let env = [
        ("CUTOVER_KUBERNETES_NAMESPACE", "env"),
        ("CUTOVER_KUBERNETES_CONTEXT", "env"),
        ("CUTOVER_TRAFFIC_LADDER", "10,50"),
    ];
    let config = parse(file, &env, &[("kubernetes.context", "flag", "--context")]).unwrap();
    let origin = |key: &str| config.values[key].origin.to_string();
    assert!(origin("environment.name").ends_with("cutover.toml:2"));
    assert_eq!(origin("kubernetes.namespace"), "CUTOVER_KUBERNETES_NAMESPACE");
    assert_eq!(origin("kubernetes.context"), "--context");
    assert_eq!(origin("traffic.strategy"), "default");
    assert_eq!(config.traffic.ladder, [10, 50]);
    let kube = targets::kube(&config);
    assert_eq!((kube.context.as_deref(), kube.namespace.as_deref()), (Some("flag"), Some("env")));
}

#[test]
fn every_key_can_be_given_in_the_environment() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let text = |key: &str, kind| match kind {
        keys::Kind::Text if key == "s3.prefix" => "events/".to_owned(),
        keys::Kind::Text => "langfuse".into(),
        keys::Kind::Flag => "true".into(),
        keys::Kind::Steps => "5, 25".into(),
        keys::Kind::Names => "a,b".into(),
        keys::Kind::Whole(..) => "7".into(),
        keys::Kind::Choice(words) => words[0].into(),
        keys::Kind::Path => file.into(),
        keys::Kind::Service => "data/db:5432".into(),
        keys::Kind::Url(schemes) => format!("{}://host/", schemes[0]),
        keys::Kind::Secret => "s".into(),
    };
    let given: Vec<_> = keys::all().map(|(key, row)| (keys::variable(&key), text(&key, row.kind))).collect();
    let env: Vec<_> = given.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = parse("", &env, &[]).unwrap();
    for (key, _) in keys::all() {
        assert_eq!(config.values[&key].origin.to_string(), keys::variable(&key));
    }
}

#[test]
fn secrets_are_never_shown() {
    let file = r#"
[postgres]
url = "postgresql://ro:HIDDEN1@db/langfuse"
password = "HIDDEN2"
[redis]
service = "redis:6379"
password = { env = "PW" }
[clickhouse]
service = "ch:8123"
password = { secret = "ch/password" }
"#;
    let config = parse(file, &[("PW", "HIDDEN3")], &[]).unwrap();
    let mut shown = format!("{config:?}");
    for row in show::rows(&config, &[]) {
        shown += &format!("{} = {} ({})\n", row.key, row.value, row.origin);
    }
    assert!(!shown.contains("HIDDEN"), "{shown}");
    assert!(
        shown.contains("environment variable PW") && shown.contains("Kubernetes Secret ch/password"),
        "{shown}"
    );
    assert!(shown.contains("postgresql://ro:***@db/langfuse"), "{shown}");
}

#[test]
fn every_key_is_shown_as_it_is_in_force_and_defaults_say_so() {
    let config = parse("[redis]\nservice = \"redis:6379\"\n", &[("XDG_STATE_HOME", "/state")], &[]).unwrap();
    let rows = show::rows(&config, &[("kubernetes.context", "prod".into())]);
    let row = |key: &str| {
        let found = rows.iter().find(|r| r.key == key).unwrap_or_else(|| panic!("{key} is not in {rows:#?}"));
        (found.value.clone(), found.origin.clone())
    };
    for (key, value) in [
        ("environment.arm", "false"),
        ("traffic.ladder", "[0, 5, 25, 50, 100]"),
        ("traffic.ingresses", "(every canary Ingress of the namespace)"),
        ("kubernetes.context", "\"prod\""),
        ("kubernetes.namespace", "(the context's)"),
        ("journal.dir", "/state/cutover"),
        ("state.dir", "/state/cutover"),
        ("redis.tls.insecure", "false"),
        ("redis.database", "(the url's, or 0)"),
        ("[postgres]", "(not configured)"),
    ] {
        assert_eq!(row(key), (value.to_owned(), "default".to_owned()), "{key}");
    }
    assert!(row("redis.service").1.ends_with("cutover.toml:2"));
    let shown = |key: &str| {
        let section = format!("[{}]", key.split('.').next().unwrap());
        rows.iter().any(|r| r.key == key || r.key == section)
    };
    let missing: Vec<_> = keys::all().map(|(key, _)| key).filter(|key| !shown(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(keys::all().all(|(_, key)| !key.unset.is_empty()));
}

#[test]
fn targets_take_the_way_from_the_service_and_the_login_from_the_url() {
    let file = load(&inputs(&configs("good")[2])).unwrap();
    let built = targets::targets(&file, &Vault::new());
    let pg = built.targets.postgres.unwrap();
    assert!(
        matches!(&pg.address, Address::Service { service, port, .. } if service == "langfuse-postgresql" && port == "5432")
    );
    assert_eq!((pg.user.as_deref(), pg.database.as_deref()), (Some("ro"), Some("langfuse")));
    assert_eq!(pg.password.unwrap().expose(), "p@ss");
}

#[test]
fn a_secret_that_was_not_read_is_named() {
    let config = load(&inputs(&configs("good")[1])).unwrap();
    let key = config.secrets().remove(0);
    let built = targets::targets(&config, &Vault::new());
    assert_eq!(built.missing, [("postgres", key.clone())]);
    assert!(built.targets.postgres.is_none() && built.targets.redis.is_some());
    let vault = Vault::from([(key, cutover::domain::Secret::new("pw"))]);
    assert!(targets::targets(&config, &vault).targets.postgres.is_some());
}

#[test]
fn a_stray_variable_is_a_warning_with_the_nearest_name() {
    let config = parse("", &[("CUTOVER_POSTGRES_ULR", "x")], &[]).unwrap();
    let said: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|w| w.contains("did you mean CUTOVER_POSTGRES_URL?")), "{said:#?}");
    assert!(said.iter().any(|w| w.starts_with("[public]: not configured")), "{said:#?}");
}
