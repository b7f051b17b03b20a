//! The rows.
//!
//! One rule: a row here, a line in the sample, and a reader in `settings` or `targets`.

use super::{Key, Kind, Section};

const fn key(name: &'static str, kind: Kind, unset: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: None, unset, doc }
}

const fn set(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Some(default), unset: default, doc }
}

/// What holds without a key that has nothing in its place.
const NONE: &str = "none";
/// What holds without a user, password or database of its own.
const OF_URL: &str = "the url's, if any";

/// Keys of every `tls` table.
pub const TLS: &[Key] = &[
    key(
        "tls.enabled",
        Kind::Flag,
        "as the url says",
        "TLS to a `service`; with a `url`, its scheme says it.",
    ),
    key("tls.ca_file", Kind::Path, "the system's alone", "Certificates to trust besides the system's, PEM."),
    key("tls.client_cert", Kind::Path, NONE, "Our certificate, PEM."),
    key("tls.client_key", Kind::Path, NONE, "Its key, PEM."),
    set("tls.insecure", Kind::Flag, "false", "Accepts any certificate: for a test system only."),
];

const HTTP: &[&str] = &["http", "https"];
const URL_HTTP: Key = key("url", Kind::Url(HTTP), NONE, "Its address, as this machine reaches it.");
const SERVICE: Key =
    key("service", Kind::Service, NONE, "Instead of `url`: its Service and port, through a port-forward.");
const HOST: Key = key("host", Kind::Text, "the address's own", "Host header to send, where it is another.");

/// The sections, in the order of the sample.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "environment",
        tls: false,
        keys: &[
            set("name", Kind::Text, "default", "The name in the header and in the journal."),
            set("production", Kind::Flag, "false", "Says PROD on the screen, in words."),
            set("arm", Kind::Flag, "false", "Allows writes; without it everything is read-only."),
        ],
    },
    Section {
        name: "kubernetes",
        tls: false,
        keys: &[
            key(
                "kubeconfig",
                Kind::Path,
                "as kubectl finds it: KUBECONFIG, ~/.kube/config",
                "The kubeconfig.",
            ),
            key("context", Kind::Text, "the kubeconfig's current one", "Its context."),
            key("namespace", Kind::Text, "the context's", "Langfuse's namespace."),
        ],
    },
    Section {
        name: "traffic",
        tls: false,
        keys: &[
            set(
                "strategy",
                Kind::Choice(&["shift-first", "backfill-first"]),
                "shift-first",
                "The order of shift and backfill.",
            ),
            set(
                "ladder",
                Kind::Steps,
                "0,5,25,50,100",
                "The steps of a shift, per cent; 0 and 100 are always on it.",
            ),
            set(
                "skip_steps",
                Kind::Flag,
                "false",
                "Lets `cutover shift` skip steps of the ladder, as --skip-steps does.",
            ),
            key(
                "ingresses",
                Kind::Names,
                "every canary Ingress of the namespace",
                "The canary Ingresses that move.",
            ),
        ],
    },
    Section {
        name: "controller",
        tls: false,
        keys: &[
            key("urls", Kind::Names, "its pods, through port-forwards", "Its metrics, one URL per replica."),
            set("namespace", Kind::Text, "ingress-nginx", "The namespace of its pods."),
            set("selector", Kind::Text, "app.kubernetes.io/component=controller", "The label of its pods."),
            set("port", Kind::Whole(1, 65_535), "10254", "The port of its metrics."),
        ],
    },
    Section { name: "v2", tls: true, keys: &[URL_HTTP, SERVICE, HOST] },
    Section { name: "v3", tls: true, keys: &[URL_HTTP, SERVICE, HOST] },
    Section { name: "public", tls: true, keys: &[URL_HTTP, SERVICE, HOST] },
    Section {
        name: "probe",
        tls: false,
        keys: &[
            key(
                "public_key",
                Kind::Secret,
                NONE,
                "API key of a project kept for canary traces; without it nothing is written.",
            ),
            key("secret_key", Kind::Secret, NONE, "Its secret key."),
        ],
    },
    Section {
        name: "postgres",
        tls: true,
        keys: &[
            key("url", Kind::Url(&["postgresql", "postgres"]), NONE, "Langfuse's DATABASE_URL."),
            SERVICE,
            key("user", Kind::Text, OF_URL, "The user; a read-only one suffices."),
            key("password", Kind::Secret, OF_URL, "Its password."),
            key("database", Kind::Text, OF_URL, "The database."),
        ],
    },
    Section {
        name: "clickhouse",
        tls: true,
        keys: &[
            key("url", Kind::Url(HTTP), NONE, "Langfuse's CLICKHOUSE_URL: the HTTP port."),
            SERVICE,
            key("user", Kind::Text, OF_URL, "The user; a read-only one suffices."),
            key("password", Kind::Secret, OF_URL, "Its password."),
            key(
                "database",
                Kind::Text,
                "default; beside a service, the url's",
                "The database (CLICKHOUSE_DB).",
            ),
            set(
                "compression",
                Kind::Flag,
                "true",
                "Whether rows travel as LZ4; false where it is as near as memory.",
            ),
        ],
    },
    Section {
        name: "redis",
        tls: true,
        keys: &[
            key("url", Kind::Url(&["redis", "rediss"]), NONE, "Langfuse's REDIS_CONNECTION_STRING."),
            SERVICE,
            key("user", Kind::Text, OF_URL, "The ACL user, where there is one."),
            key("password", Kind::Secret, OF_URL, "Its password (REDIS_AUTH)."),
            key("database", Kind::Whole(0, 65_535), "the url's, or 0", "The database number."),
            key("prefix", Kind::Text, NONE, "REDIS_KEY_PREFIX, where Langfuse sets it."),
        ],
    },
    Section {
        name: "s3",
        tls: true,
        keys: &[
            key("url", Kind::Url(HTTP), NONE, "The endpoint (LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT)."),
            SERVICE,
            key("bucket", Kind::Text, NONE, "The bucket of the events (LANGFUSE_S3_EVENT_UPLOAD_BUCKET)."),
            key("prefix", Kind::Text, NONE, "LANGFUSE_S3_EVENT_UPLOAD_PREFIX; ends in a slash."),
            set("region", Kind::Text, "auto", "LANGFUSE_S3_EVENT_UPLOAD_REGION."),
            key("access_key", Kind::Secret, NONE, "LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID."),
            key("secret_key", Kind::Secret, NONE, "LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY."),
            set("path_style", Kind::Flag, "true", "LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE."),
            set(
                "probe_writes",
                Kind::Flag,
                "false",
                "Proves it by a small object: written, read, listed, deleted.",
            ),
        ],
    },
    Section {
        name: "journal",
        tls: false,
        keys: &[key(
            "dir",
            Kind::Path,
            "$XDG_STATE_HOME/cutover or ~/.local/state/cutover",
            "Folder of the journal.",
        )],
    },
    Section {
        name: "state",
        tls: false,
        keys: &[key("dir", Kind::Path, "as the journal's", "Folder of counts remembered between runs.")],
    },
    Section {
        name: "ui",
        tls: false,
        keys: &[
            set(
                "theme",
                Kind::Choice(&["auto", "ansi", "cvd", "mono"]),
                "auto",
                "Colours; cvd is for colour-blind eyes; auto follows NO_COLOR and TERM.",
            ),
            set(
                "symbols",
                Kind::Choice(&["auto", "utf8", "ascii"]),
                "auto",
                "Glyphs; auto follows the locale.",
            ),
        ],
    },
];
