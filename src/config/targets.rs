//! What the clients are told to reach, built from the configuration.

use std::path::PathBuf;

use crate::clients::target::{
    Address, ClickhouseTarget, ControllerTarget, KubeTarget, LangfuseTarget, PostgresTarget, ProbeKey,
    RedisTarget, S3Target, Targets, TlsOptions,
};
use crate::domain::Secret;

use super::Config;
use super::credential::{Credential, SecretKey, Vault};
use super::settings::Read;

/// File of counts remembered between runs, in the state folder.
const STATE_FILE: &str = "counts.json";

/// The targets, and the Kubernetes Secrets that would have been needed for the sections left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Built {
    /// What can be reached.
    pub targets: Targets,
    /// Section and Secret.
    pub missing: Vec<(&'static str, SecretKey)>,
}

/// The API server, which needs no Kubernetes Secret.
pub fn kube(config: &Config) -> KubeTarget {
    let read = Read(&config.values);
    KubeTarget {
        kubeconfig: read.path("kubernetes.kubeconfig"),
        context: read.text("kubernetes.context"),
        namespace: read.text("kubernetes.namespace"),
    }
}

/// All targets; `vault` has the Kubernetes Secrets that [`Config::secrets`] asks for. A section whose Secret is
/// not in it is left out and named.
pub fn targets(config: &Config, vault: &Vault) -> Built {
    let mut build = Build { read: Read(&config.values), vault, missing: Vec::new() };
    let targets = Targets {
        kube: Some(kube(config)),
        v2: build.langfuse("v2"),
        v3: build.langfuse("v3"),
        public: build.langfuse("public"),
        postgres: build.postgres(),
        clickhouse: build.clickhouse(),
        redis: build.redis(),
        s3: build.s3(),
        controller: build.controller(),
        ingresses: config.traffic.ingresses.clone(),
        state_file: Some(state_file(config)),
    };
    Built { targets, missing: build.missing }
}

fn state_file(config: &Config) -> PathBuf {
    config.state_dir.join(STATE_FILE)
}

/// A Secret that is not in the vault.
struct Absent;

struct Build<'a> {
    read: Read<'a>,
    vault: &'a Vault,
    missing: Vec<(&'static str, SecretKey)>,
}

/// Who, as a URL or keys say it.
#[derive(Default)]
struct Login {
    user: Option<String>,
    password: Option<Secret>,
    database: Option<String>,
}

impl Build<'_> {
    /// A secret value; a missing Kubernetes Secret is noted and ends the section.
    fn secret(&mut self, section: &'static str, name: &str) -> Result<Option<Secret>, Absent> {
        let Some(credential) = self.read.credential(&format!("{section}.{name}")) else {
            return Ok(None);
        };
        match (credential.value(self.vault), credential) {
            (None, Credential::InCluster(key)) => {
                self.missing.push((section, key.clone()));
                Err(Absent)
            }
            (value, _) => Ok(value),
        }
    }

    /// The address. With both a URL and a Service, the Service is the way and the URL says who.
    fn address(&mut self, section: &'static str) -> Result<Option<(Address, Login)>, Absent> {
        let url = self.secret(section, "url")?;
        let service = self.read.service(&format!("{section}.service"));
        Ok(match (url, service) {
            (url, Some((namespace, service, port))) => {
                let login = url.map(|u| login(u.expose())).unwrap_or_default();
                Some((Address::Service { namespace, service, port }, login))
            }
            (Some(url), None) => Some((Address::Url(url), Login::default())),
            (None, None) => None,
        })
    }

    /// Address and login of a store; keys win over what the URL says.
    fn store(&mut self, section: &'static str) -> Result<Option<(Address, Login)>, Absent> {
        let Some((address, login)) = self.address(section)? else {
            return Ok(None);
        };
        let user = self.read.text(&format!("{section}.user")).or(login.user);
        let password = self.secret(section, "password")?.or(login.password);
        let database = self.read.text(&format!("{section}.database")).or(login.database);
        Ok(Some((address, Login { user, password, database })))
    }

    fn tls(&self, section: &str) -> TlsOptions {
        let key = |name: &str| format!("{section}.tls.{name}");
        TlsOptions {
            enabled: self.read.flag(&key("enabled")),
            ca_file: self.read.path(&key("ca_file")),
            client_cert: self.read.path(&key("client_cert")),
            client_key: self.read.path(&key("client_key")),
            insecure: self.read.flag(&key("insecure")).unwrap_or(false),
        }
    }

    fn langfuse(&mut self, section: &'static str) -> Option<LangfuseTarget> {
        let (address, _) = self.address(section).ok()??;
        let probe_key = self.probe_key();
        let host_header = self.read.text(&format!("{section}.host"));
        Some(LangfuseTarget { address, host_header, probe_key, tls: self.tls(section) })
    }

    fn probe_key(&mut self) -> Option<ProbeKey> {
        let public = self.secret("probe", "public_key").ok()??;
        let secret = self.secret("probe", "secret_key").ok()??;
        Some(ProbeKey { public: public.expose().to_owned(), secret })
    }

    fn postgres(&mut self) -> Option<PostgresTarget> {
        let (address, login) = self.store("postgres").ok()??;
        let Login { user, password, database } = login;
        Some(PostgresTarget { address, user, password, database, tls: self.tls("postgres") })
    }

    fn clickhouse(&mut self) -> Option<ClickhouseTarget> {
        let (address, login) = self.store("clickhouse").ok()??;
        let Login { user, password, database } = login;
        let compression = self.read.flag("clickhouse.compression").unwrap_or(true);
        Some(ClickhouseTarget { address, user, password, database, compression, tls: self.tls("clickhouse") })
    }

    fn redis(&mut self) -> Option<RedisTarget> {
        let (address, login) = self.store("redis").ok()??;
        let in_url = login.database.and_then(|d| d.parse().ok());
        let database = self.read.whole("redis.database").or(in_url);
        let Login { user, password, .. } = login;
        let prefix = self.read.text("redis.prefix");
        Some(RedisTarget { address, user, password, database, prefix, tls: self.tls("redis") })
    }

    fn s3(&mut self) -> Option<S3Target> {
        let (endpoint, _) = self.address("s3").ok()??;
        Some(S3Target {
            endpoint,
            bucket: self.read.text("s3.bucket")?,
            prefix: self.read.text("s3.prefix").unwrap_or_default(),
            region: self.read.text("s3.region").unwrap_or_default(),
            access_key: self.secret("s3", "access_key").ok()??.expose().to_owned(),
            secret_key: self.secret("s3", "secret_key").ok()??,
            path_style: self.read.flag("s3.path_style").unwrap_or(true),
            probe_writes: self.read.flag("s3.probe_writes").unwrap_or(false),
            tls: self.tls("s3"),
        })
    }

    fn controller(&self) -> Option<ControllerTarget> {
        let urls = self.read.names("controller.urls");
        if !urls.is_empty() {
            return Some(ControllerTarget::Urls(urls));
        }
        Some(ControllerTarget::Pods {
            namespace: self.read.text("controller.namespace")?,
            selector: self.read.text("controller.selector")?,
            port: self.read.whole("controller.port").and_then(|p| u16::try_from(p).ok())?,
        })
    }
}

/// User, password and database of a URL, decoded.
fn login(url: &str) -> Login {
    let Ok(url) = reqwest::Url::parse(url) else {
        return Login::default();
    };
    let given = |text: &str| (!text.is_empty()).then(|| decode(text));
    Login {
        user: given(url.username()),
        password: url.password().and_then(given).map(Secret::new),
        database: given(url.path().trim_start_matches('/')),
    }
}

/// `%40` is `@`; what cannot be decoded stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [a, b, after @ ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                out.push(hex(*a).unwrap_or(0) * 16 + hex(*b).unwrap_or(0));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_decoded() {
        let login = login("postgresql://lang%40fuse:p%25%2F@db:5432/langfuse?sslmode=require");
        assert_eq!(login.user.as_deref(), Some("lang@fuse"));
        assert_eq!(login.password.unwrap().expose(), "p%/");
        assert_eq!(login.database.as_deref(), Some("langfuse"));
    }
}
