//! The kubeconfig: which file, which context, and what to say when one of them is not there.
//!
//! One rule: a name that is wrong is answered with the names that exist, the nearest first.

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::failure::chain;
use super::target::KubeTarget;
use crate::domain::text::{likely, nearest};
use crate::domain::{Kind, Trouble};

/// The configuration that `target` names, or that of the pod we run in when nothing is named or found.
pub(super) async fn config(target: &KubeTarget) -> Result<Config, Trouble> {
    let named = target.kubeconfig.is_some() || target.context.is_some();
    let name = target
        .kubeconfig
        .as_ref()
        .map_or_else(|| "kubeconfig".to_owned(), |file| format!("kubeconfig {}", file.display()));
    if let Some(file) = target.kubeconfig.as_ref().filter(|file| !file.exists()) {
        return Err(Trouble::new(Kind::NotConfigured, name, "there is no such file").remedy(elsewhere(file)));
    }
    let read = target.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        Err(e) if named => return Err(broken(&name, &e)),
        Err(e) => return Config::incluster().map_err(|_| broken(&name, &e)),
    };
    context(&name, &kubeconfig, target.context.as_deref())?;
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(config) => Ok(config),
        Err(e) if named => Err(broken(&name, &e)),
        Err(e) => Config::incluster().map_err(|_| broken(&name, &e)),
    }
}

/// Whether the context that was asked for is in the file.
fn context(name: &str, kubeconfig: &Kubeconfig, wanted: Option<&str>) -> Result<(), Trouble> {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
    match wanted {
        Some(wanted) if !names.contains(&wanted) => {
            let detail = format!("it has no context {wanted:?}");
            Err(Trouble::new(Kind::NotConfigured, name, detail).remedy(likely(wanted, &names, "a context")))
        }
        _ => Ok(()),
    }
}

/// Files beside the one that is not there, or where kubectl looks.
fn elsewhere(file: &std::path::Path) -> String {
    let beside = file.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let names: Vec<String> =
        beside.into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    match nearest(wanted, &names) {
        Some(near) => format!("did you mean {}?", file.with_file_name(near).display()),
        None => {
            "name a readable kubeconfig (--kubeconfig, KUBECONFIG, or [kubernetes] in cutover.toml)".into()
        }
    }
}

fn broken(name: &str, error: &KubeconfigError) -> Trouble {
    Trouble::new(Kind::NotConfigured, name, chain(error))
        .remedy("name a readable kubeconfig and a context that is in it (`kubectl config get-contexts`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncontexts:\n- name: staging\n  context: {cluster: s, user: u}\n\
        - name: production\n  context: {cluster: p, user: u}\nclusters: []\nusers: []\n";

    async fn said(target: &KubeTarget) -> String {
        let trouble = config(target).await.unwrap_err();
        assert_eq!(trouble.kind, Kind::NotConfigured, "{trouble}");
        trouble.to_string()
    }

    #[tokio::test]
    async fn a_wrong_name_is_answered_with_those_that_exist() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kubeconfig");
        std::fs::write(&file, TWO).unwrap();
        let at = |context: &str, file: &std::path::Path| KubeTarget {
            kubeconfig: Some(file.into()),
            context: Some(context.into()),
            ..KubeTarget::default()
        };
        let near = said(&at("produktion", &file)).await;
        assert!(near.contains("no context \"produktion\" -> did you mean production?"), "{near}");
        let far = said(&at("xyz", &file)).await;
        assert!(far.contains("-> name a context that exists: staging, production"), "{far}");
        let gone = said(&at("staging", &dir.path().join("kubeconfg"))).await;
        assert!(gone.contains("no such file -> did you mean ") && gone.contains("/kubeconfig?"), "{gone}");
        std::fs::write(&file, "contexts: [").unwrap();
        let torn = said(&at("staging", &file)).await;
        assert!(torn.contains("kubectl config get-contexts"), "{torn}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 64, ..proptest::test_runner::Config::default() })]
        #[test]
        fn a_broken_file_is_told(noise in ".{0,60}", at in 0_usize..200, whole: bool) {
            let text = if whole { noise } else {
                let at = TWO.char_indices().map(|(i, _)| i).nth(at).unwrap_or(TWO.len());
                format!("{}{noise}{}", &TWO[..at], &TWO[at..])
            };
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("kubeconfig");
            std::fs::write(&file, text).unwrap();
            let target = KubeTarget { kubeconfig: Some(file), context: Some("x".into()), ..KubeTarget::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            if let Err(trouble) = runtime.block_on(config(&target)) {
                assert!(!trouble.to_string().chars().any(char::is_control), "{trouble}");
            }
        }
    }
}
