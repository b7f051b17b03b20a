//! One operator at a time: a Lease in the namespace, and the hold as an annotation on it, so that every
//! bastion sees both.
//!
//! One rule: every change of the Lease names the resourceVersion it was read at; who loses the race looks on.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};

use super::actor;
use crate::cockpit::msg;
use crate::domain::text::clean;
use crate::domain::{Kind, Trouble};

/// The Lease's name.
pub const NAME: &str = "cutover";
/// Without a renewal for this long, anybody may take it.
pub const DURATION: Duration = Duration::from_secs(30);
/// Renewed this often.
pub const RENEWAL: Duration = Duration::from_secs(10);
const HOLD_BY: &str = "cutover/hold-by";
const HOLD_SINCE: &str = "cutover/hold-since";
/// Where the holder's process id means something, so that the next program on that host need not wait for a dead one.
const BORN: &str = "cutover/holder-born";

/// What one look at the Lease gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Who may write.
    pub lease: msg::Lease,
    /// Whether traffic is held.
    pub hold: Option<msg::Hold>,
}

/// Keeps the Lease of one namespace.
#[derive(Debug, Clone)]
pub struct Keeper {
    api: Api<Lease>,
    identity: String,
    birthplace: Option<String>,
    object: String,
}

impl Keeper {
    /// A keeper that writes as `identity`.
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            birthplace: actor::birthplace(),
            object: format!("Lease {namespace}/{NAME}"),
        }
    }

    /// Looks, and writes nothing.
    pub async fn look(&self, now: Timestamp) -> Result<Seen, Trouble> {
        Ok(self.get().await?.map_or(Seen { lease: msg::Lease::None, hold: None }, |l| self.seen(&l, now)))
    }

    /// Takes the Lease when it is free or ours, renews it, or says who holds it. With `force`, takes it from
    /// its holder.
    pub async fn acquire(&self, now: Timestamp, force: bool) -> Result<Seen, Trouble> {
        let Some(found) = self.get().await? else {
            let fresh = self.written(Lease::default(), now);
            let made = self.within("create", self.api.create(&PostParams::default(), &fresh)).await;
            return match made {
                Err(trouble) if trouble.kind == Kind::Conflict => self.look(now).await,
                made => Ok(self.seen(&made?, now)),
            };
        };
        let seen = self.seen(&found, now);
        if matches!(seen.lease, msg::Lease::Other(..)) && !force {
            return Ok(seen);
        }
        let next = self.written(found, now);
        match self.replace(&next).await {
            Err(trouble) if trouble.kind == Kind::Conflict => self.look(now).await,
            replaced => Ok(self.seen(&replaced?, now)),
        }
    }

    /// Sets the hold, or takes it off.
    pub async fn hold(&self, on: bool, by: &str, now: Timestamp) -> Result<Option<msg::Hold>, Trouble> {
        let found = self.get().await?.unwrap_or_default();
        if let msg::Lease::Other(who, _) = self.seen(&found, now).lease {
            return Err(Trouble::new(Kind::Refused, &self.object, format!("{who} holds the right to write")));
        }
        let fresh = found.metadata.resource_version.is_none();
        let mut next = self.written(found, now);
        let notes = next.metadata.annotations.get_or_insert_with(BTreeMap::new);
        if on {
            notes.insert(HOLD_BY.into(), by.into());
            notes.insert(HOLD_SINCE.into(), now.to_string());
        } else {
            notes.remove(HOLD_BY);
            notes.remove(HOLD_SINCE);
        }
        let stored = if fresh {
            self.within("create", self.api.create(&PostParams::default(), &next)).await?
        } else {
            self.replace(&next).await?
        };
        Ok(hold_of(&stored))
    }

    /// Gives the Lease back, so that the next operator need not wait.
    pub async fn release(&self, now: Timestamp) -> Result<(), Trouble> {
        let Some(mut found) = self.get().await? else {
            return Ok(());
        };
        if self.seen(&found, now).lease != msg::Lease::Ours {
            return Ok(());
        }
        if let Some(spec) = &mut found.spec {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(now));
        }
        self.replace(&found).await.map(drop)
    }

    /// The Lease as ours, renewed now.
    fn written(&self, mut lease: Lease, now: Timestamp) -> Lease {
        lease.metadata = ObjectMeta { name: Some(NAME.into()), ..lease.metadata };
        let notes = lease.metadata.annotations.get_or_insert_default();
        match &self.birthplace {
            Some(place) => notes.insert(BORN.into(), place.clone()),
            None => notes.remove(BORN),
        };
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.renew_time = Some(MicroTime(now));
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        lease
    }

    fn seen(&self, lease: &Lease, now: Timestamp) -> Seen {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|h| !h.is_empty());
        let renewed = spec.renew_time.map(|t| t.0);
        let length =
            u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).map_or(DURATION, Duration::from_secs);
        let alive = renewed.is_some_and(|t| now.duration_since(t).unsigned_abs() < length);
        let lease_state = match holder {
            Some(h) if h == self.identity => msg::Lease::Ours,
            Some(h) if alive && !self.died(lease, &h) => {
                msg::Lease::Other(clean(&h), spec.acquire_time.map(|t| t.0))
            }
            _ => msg::Lease::None,
        };
        Seen { lease: lease_state, hold: hold_of(lease) }
    }

    /// Whether the holder was a process of this host that has ended without giving the Lease back.
    fn died(&self, lease: &Lease, holder: &str) -> bool {
        let born = lease.metadata.annotations.as_ref().and_then(|notes| notes.get(BORN));
        born.is_some() && born == self.birthplace.as_ref() && actor::is_gone(holder)
    }

    async fn get(&self) -> Result<Option<Lease>, Trouble> {
        self.within("get", self.api.get_opt(NAME)).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Trouble> {
        self.within("update", self.api.replace(NAME, &PostParams::default(), lease)).await
    }

    async fn within<T>(
        &self,
        verb: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Trouble> {
        crate::clients::kube::call(&self.object, &format!("{verb} leases"), call).await
    }
}

fn hold_of(lease: &Lease) -> Option<msg::Hold> {
    let notes = lease.metadata.annotations.as_ref()?;
    let since = notes.get(HOLD_SINCE).and_then(|t| t.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    Some(msg::Hold { by: clean(notes.get(HOLD_BY)?), since })
}
