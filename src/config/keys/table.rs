//! The rows.
//!
//! One rule: a row here, a line in the sample, and a reader in `settings` or `targets`.

use super::{Key, Kind, Section};

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, default: None, doc }
}

const fn set(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Some(default), doc }
}

/// Keys of every `tls` table.
pub const TLS: &[Key] = &[
    key("tls.enabled", Kind::Flag, "TLS to a `service`; with a `url`, its scheme says it."),
    key("tls.ca_file", Kind::Path, "Certificates to trust besides the system's, PEM."),
    key("tls.client_cert", Kind::Path, "Our certificate, PEM."),
    key("tls.client_key", Kind::Path, "Its key, PEM."),
    key("tls.insecure", Kind::Flag, "Accepts any certificate: for a test system only."),
];

const HTTP: &[&str] = &["http", "https"];
const URL_HTTP: Key = key("url", Kind::Url(HTTP), "Its address, as this machine reaches it.");
const SERVICE: Key =
    key("service", Kind::Service, "Instead of `url`: its Service and port, through a port-forward.");
const HOST: Key = key("host", Kind::Text, "Host header to send, where it is not the address's own.");

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
                "The kubeconfig; unset: as kubectl finds it (KUBECONFIG, ~/.kube/config).",
            ),
            key("context", Kind::Text, "Its context; unset: its current one."),
            key("namespace", Kind::Text, "Langfuse's namespace; unset: the context's."),
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
            key("ingresses", Kind::Names, "The canary Ingresses that move; unset: all of the namespace."),
        ],
    },
    Section {
        name: "controller",
        tls: false,
        keys: &[
            key(
                "urls",
                Kind::Names,
                "Its metrics, one URL per replica; unset: its pods, through port-forwards.",
            ),
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
                "API key of a project kept for canary traces; without it nothing is written.",
            ),
            key("secret_key", Kind::Secret, "Its secret key."),
        ],
    },
    Section {
        name: "postgres",
        tls: true,
        keys: &[
            key("url", Kind::Url(&["postgresql", "postgres"]), "Langfuse's DATABASE_URL."),
            SERVICE,
            key("user", Kind::Text, "The user; a read-only one suffices."),
            key("password", Kind::Secret, "Its password."),
            key("database", Kind::Text, "The database."),
        ],
    },
    Section {
        name: "clickhouse",
        tls: true,
        keys: &[
            key("url", Kind::Url(HTTP), "Langfuse's CLICKHOUSE_URL: the HTTP port."),
            SERVICE,
            key("user", Kind::Text, "The user; a read-only one suffices."),
            key("password", Kind::Secret, "Its password."),
            key("database", Kind::Text, "The database (CLICKHOUSE_DB); unset: default."),
        ],
    },
    Section {
        name: "redis",
        tls: true,
        keys: &[
            key("url", Kind::Url(&["redis", "rediss"]), "Langfuse's REDIS_CONNECTION_STRING."),
            SERVICE,
            key("user", Kind::Text, "The ACL user, where there is one."),
            key("password", Kind::Secret, "Its password (REDIS_AUTH)."),
            key("database", Kind::Whole(0, 65_535), "The database number; unset: the URL's, or 0."),
            key("prefix", Kind::Text, "REDIS_KEY_PREFIX, where Langfuse sets it."),
        ],
    },
    Section {
        name: "s3",
        tls: true,
        keys: &[
            key("url", Kind::Url(HTTP), "The endpoint (LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT)."),
            SERVICE,
            key("bucket", Kind::Text, "The bucket of the events (LANGFUSE_S3_EVENT_UPLOAD_BUCKET)."),
            key("prefix", Kind::Text, "LANGFUSE_S3_EVENT_UPLOAD_PREFIX; ends in a slash."),
            set("region", Kind::Text, "auto", "LANGFUSE_S3_EVENT_UPLOAD_REGION."),
            key("access_key", Kind::Secret, "LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID."),
            key("secret_key", Kind::Secret, "LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY."),
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
            "Folder of the journal; unset: $XDG_STATE_HOME/cutover or ~/.local/state/cutover.",
        )],
    },
    Section {
        name: "state",
        tls: false,
        keys: &[key("dir", Kind::Path, "Folder of counts remembered between runs; unset: as the journal's.")],
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
