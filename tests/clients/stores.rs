//! psql, redis-cli and ClickHouse's clients for Python and Node.js on the stores.

use serde_json::{Value, json};

use crate::foreign;
use crate::sides::Stores;

/// What `program` prints, its end trimmed.
#[track_caller]
fn output(mut program: std::process::Command, arguments: &[&str]) -> String {
    let output = program.args(arguments).output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn psql_reads_and_writes() {
    let Some(psql) = foreign::program("psql") else { return };
    let stores = Stores::start(&[]);
    let script = "CREATE TABLE clients (id int PRIMARY KEY, word text);
        INSERT INTO clients VALUES (1, 'a'), (2, E'b\\t2');
        COPY (SELECT * FROM clients ORDER BY id) TO STDOUT;
        SELECT count(*) FROM traces;
        DROP TABLE clients;";
    let url = stores.rehearsal.field("postgres_url");
    let said = output(psql, &[url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", script]);
    assert_eq!(said, "1\ta\n2\tb\\t2\n300");
    let wrong = url.replacen("://langfuse:", "://langfuse:x", 1);
    let refused = std::process::Command::new("psql").args([&wrong, "-X", "-c", "SELECT 1"]).output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("password authentication failed"), "{why}");
}

#[test]
fn redis_cli_reads_and_writes() {
    let Some(mut cli) = foreign::program("redis-cli") else { return };
    let stores = Stores::start(&[]);
    cli.args(["--no-auth-warning", "-u", stores.rehearsal.field("redis_url")]);
    let say = |arguments: &[&str]| {
        let mut again = std::process::Command::new(cli.get_program());
        again.args(cli.get_args());
        output(again, arguments)
    };
    assert_eq!(say(&["SET", "clients:word", "a b"]), "OK");
    assert_eq!(say(&["GET", "clients:word"]), "a b");
    assert_eq!(say(&["--scan", "--pattern", "clients:*"]), "clients:word");
    assert_eq!(say(&["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nnoeviction");
    assert_eq!(say(&["DEL", "clients:word"]), "1");
}

fn clickhouse(stores: &Stores) -> Value {
    json!({
        "url": stores.rehearsal.field("clickhouse_url"), "user": stores.told("clickhouse", "user"),
        "password": stores.told("clickhouse", "password"), "database": stores.told("clickhouse", "database"),
    })
}

#[test]
fn clickhouse_connect_of_python_reads_and_writes() {
    let Some(python) = foreign::python("stores") else { return };
    let stores = Stores::start(&[]);
    let report = python.run("stores.py", &clickhouse(&stores));
    assert_eq!((&report["same"], &report["streamed"]), (&json!(true), &json!(200_000)), "{report}");
    assert_eq!((&report["error"], &report["foreign_session"]), (&json!(true), &json!(true)), "{report}");
    assert_eq!(report["session"], json!([3, 9, 7]), "{report}");
    assert!(report["wrong_password"].as_str().is_some_and(|why| why.contains("516")), "{report}");
}

#[test]
fn the_clickhouse_client_of_node_reads_and_writes() {
    let Some(node) = foreign::node() else { return };
    let stores = Stores::start(&[]);
    let report = node.run("stores.mjs", &clickhouse(&stores));
    assert_eq!((&report["ping"], &report["same"]), (&json!(true), &json!(true)), "{report}");
    assert_eq!(report["streamed"], 200_000, "{report}");
    assert_eq!(report["error"], json!({"code": "47", "type": "UNKNOWN_IDENTIFIER"}), "{report}");
    assert_eq!(report["wrong_password"], "AUTHENTICATION_FAILED", "{report}");
}
