//! The one table of configuration keys: file, environment, `config check`, the sample and the errors follow
//! from these rows.
//!
//! One rule: a key that is not here does not exist.

/// What a key holds; decides how text from the environment is read and what an error says was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// Whole numbers 0..=100, a list.
    Steps,
    /// Names of Kubernetes objects, a list.
    Names,
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file or folder; relative ones count from the folder of the file that names them.
    Path,
    /// A Kubernetes Service and port: `clickhouse:8123`, `other-namespace/clickhouse:http`.
    Service,
    /// A URL with one of these schemes, or where to find it.
    Url(&'static [&'static str]),
    /// A password, key or token, or where to find it.
    Secret,
}

impl Kind {
    /// What an error says was expected.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "text in quotes".into(),
            Self::Flag => "true or false".into(),
            Self::Steps => "a list of whole numbers from 0 to 100, like [5, 25, 50]".into(),
            Self::Names => "a list of names, like [\"langfuse-canary\"]".into(),
            Self::Whole(low, high) => format!("a whole number from {low} to {high}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Path => "a path".into(),
            Self::Service => {
                "a Service and port, like \"clickhouse:8123\" or \"namespace/clickhouse:8123\"".into()
            }
            Self::Url(schemes) => format!("a URL that starts with {}://", schemes.join(":// or ")),
            Self::Secret => {
                "text, { env = \"NAME\" }, { file = \"path\" } or { secret = \"name/key\" }".into()
            }
        }
    }

    /// Whether it may be given as `{ env | file | secret = … }`.
    pub const fn may_refer(self) -> bool {
        matches!(self, Self::Url(_) | Self::Secret)
    }
}

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name inside the section, dotted for the `tls` tables.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its default as text, as the environment would give it; `None` when it is unset.
    pub default: Option<&'static str>,
    /// One sentence.
    pub doc: &'static str,
}

/// One section of the file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// `[name]`.
    pub name: &'static str,
    /// Its keys, the `tls` ones excepted.
    pub keys: &'static [Key],
    /// Whether it also has the keys of [`TLS`].
    pub tls: bool,
}

impl Section {
    /// All keys, those of TLS last.
    pub fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        let tls: &'static [Key] = if self.tls { TLS } else { &[] };
        self.keys.iter().chain(tls)
    }
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default: None,
        doc,
    }
}

const fn set(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default: Some(default),
        doc,
    }
}

/// Keys of every `tls` table.
pub const TLS: &[Key] = &[
    key(
        "tls.enabled",
        Kind::Flag,
        "TLS to a `service`; with a `url`, its scheme says it.",
    ),
    key(
        "tls.ca_file",
        Kind::Path,
        "Certificates to trust besides the system's, PEM.",
    ),
    key("tls.client_cert", Kind::Path, "Our certificate, PEM."),
    key("tls.client_key", Kind::Path, "Its key, PEM."),
    key(
        "tls.insecure",
        Kind::Flag,
        "Accepts any certificate: for a test system only.",
    ),
];

const HTTP: &[&str] = &["http", "https"];
const URL_HTTP: Key = key("url", Kind::Url(HTTP), "Its address, as this machine reaches it.");
const SERVICE: Key = key(
    "service",
    Kind::Service,
    "Instead of `url`: its Service and port, through a port-forward.",
);
const HOST: Key = key(
    "host",
    Kind::Text,
    "Host header to send, where it is not the address's own.",
);

/// The sections, in the order of the sample.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "environment",
        tls: false,
        keys: &[
            set(
                "name",
                Kind::Text,
                "default",
                "The name in the header and in the journal.",
            ),
            set(
                "production",
                Kind::Flag,
                "false",
                "Says PROD on the screen, in words.",
            ),
            set(
                "arm",
                Kind::Flag,
                "false",
                "Allows writes; without it everything is read-only.",
            ),
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
            key(
                "namespace",
                Kind::Text,
                "Langfuse's namespace; unset: the context's.",
            ),
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
            key(
                "ingresses",
                Kind::Names,
                "The canary Ingresses that move; unset: all of the namespace.",
            ),
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
            set(
                "namespace",
                Kind::Text,
                "ingress-nginx",
                "The namespace of its pods.",
            ),
            set(
                "selector",
                Kind::Text,
                "app.kubernetes.io/component=controller",
                "The label of its pods.",
            ),
            set(
                "port",
                Kind::Whole(1, 65_535),
                "10254",
                "The port of its metrics.",
            ),
        ],
    },
    Section {
        name: "v2",
        tls: true,
        keys: &[URL_HTTP, SERVICE, HOST],
    },
    Section {
        name: "v3",
        tls: true,
        keys: &[URL_HTTP, SERVICE, HOST],
    },
    Section {
        name: "public",
        tls: true,
        keys: &[URL_HTTP, SERVICE, HOST],
    },
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
            key(
                "url",
                Kind::Url(&["postgresql", "postgres"]),
                "Langfuse's DATABASE_URL.",
            ),
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
            key(
                "url",
                Kind::Url(HTTP),
                "Langfuse's CLICKHOUSE_URL: the HTTP port.",
            ),
            SERVICE,
            key("user", Kind::Text, "The user; a read-only one suffices."),
            key("password", Kind::Secret, "Its password."),
            key(
                "database",
                Kind::Text,
                "The database (CLICKHOUSE_DB); unset: default.",
            ),
        ],
    },
    Section {
        name: "redis",
        tls: true,
        keys: &[
            key(
                "url",
                Kind::Url(&["redis", "rediss"]),
                "Langfuse's REDIS_CONNECTION_STRING.",
            ),
            SERVICE,
            key("user", Kind::Text, "The ACL user, where there is one."),
            key("password", Kind::Secret, "Its password (REDIS_AUTH)."),
            key(
                "database",
                Kind::Whole(0, 65_535),
                "The database number; unset: the URL's, or 0.",
            ),
            key("prefix", Kind::Text, "REDIS_KEY_PREFIX, where Langfuse sets it."),
        ],
    },
    Section {
        name: "s3",
        tls: true,
        keys: &[
            key(
                "url",
                Kind::Url(HTTP),
                "The endpoint (LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT).",
            ),
            SERVICE,
            key(
                "bucket",
                Kind::Text,
                "The bucket of the events (LANGFUSE_S3_EVENT_UPLOAD_BUCKET).",
            ),
            key(
                "prefix",
                Kind::Text,
                "LANGFUSE_S3_EVENT_UPLOAD_PREFIX; ends in a slash.",
            ),
            set("region", Kind::Text, "auto", "LANGFUSE_S3_EVENT_UPLOAD_REGION."),
            key(
                "access_key",
                Kind::Secret,
                "LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID.",
            ),
            key(
                "secret_key",
                Kind::Secret,
                "LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY.",
            ),
            set(
                "path_style",
                Kind::Flag,
                "true",
                "LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE.",
            ),
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
        keys: &[key(
            "dir",
            Kind::Path,
            "Folder of counts remembered between runs; unset: as the journal's.",
        )],
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

/// The key at a dotted path.
pub fn find(path: &str) -> Option<&'static Key> {
    let (section, name) = path.split_once('.')?;
    SECTIONS
        .iter()
        .find(|s| s.name == section)?
        .all()
        .find(|k| k.name == name)
}

/// Every dotted path with its key, in the order of the sample.
pub fn all() -> impl Iterator<Item = (String, &'static Key)> {
    SECTIONS
        .iter()
        .flat_map(|s| s.all().map(move |k| (format!("{}.{}", s.name, k.name), k)))
}

/// The environment variable of a dotted path: `postgres.tls.ca_file` is `CUTOVER_POSTGRES_TLS_CA_FILE`.
pub fn variable(path: &str) -> String {
    format!("CUTOVER_{}", path.replace('.', "_").to_ascii_uppercase())
}
