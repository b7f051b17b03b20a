//! Sources against real servers: the stores of the rehearsal, its API server, and a server that never answers.

#![cfg(feature = "rehearsal")]

mod cluster;
mod doors;
mod driving;
mod rows;
mod stores;
mod tls;

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::shared::Shared;
use crate::clients::target::{
    Address, ClickhouseTarget, PostgresTarget, RedisTarget, S3Target, Targets, TlsOptions,
};
use crate::domain::Secret;
use crate::rehearsal::stage::{Stage, StageError};
use crate::rehearsal::stores::{Endpoints, StoreError, Stores};

/// A stage and its stores, or `None` with the reason printed when a program is not on this machine.
pub(in crate::sources) async fn started() -> Option<(Stage, Stores)> {
    crate::clients::tls::install_provider();
    let stage = Stage::open(None).await.unwrap();
    match Stores::start(&stage, &|line| eprintln!("{line}")).await {
        Ok(stores) => Some((stage, stores)),
        Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
            assert!(std::env::var_os("CI").is_none(), "CI skips nothing: {absent}");
            eprintln!("SKIPPED: {absent}");
            None
        }
        Err(failure) => panic!("{failure}"),
    }
}

/// The four stores as targets.
pub(in crate::sources) fn targets(at: &Endpoints) -> Targets {
    Targets {
        postgres: Some(postgres(&at.postgres_url)),
        clickhouse: Some(ClickhouseTarget {
            address: Address::url(&at.clickhouse_url),
            user: Some(at.clickhouse_user.clone()),
            password: Some(Secret::new(&at.clickhouse_password)),
            database: Some(at.clickhouse_database.clone()),
            compression: true,
            tls: TlsOptions::default(),
        }),
        redis: Some(redis(&at.redis_url)),
        s3: Some(S3Target {
            endpoint: Address::url(&at.s3_url),
            bucket: at.s3_bucket.clone(),
            prefix: String::new(),
            region: at.s3_region.clone(),
            access_key: at.s3_access_key.clone(),
            secret_key: Secret::new(&at.s3_secret_key),
            path_style: true,
            probe_writes: true,
            tls: TlsOptions::default(),
        }),
        ..Targets::default()
    }
}

fn postgres(url: &str) -> PostgresTarget {
    PostgresTarget {
        address: Address::url(url),
        user: None,
        password: None,
        database: None,
        tls: TlsOptions::default(),
    }
}

fn redis(url: &str) -> RedisTarget {
    RedisTarget {
        address: Address::url(url),
        user: None,
        password: None,
        database: None,
        prefix: None,
        tls: TlsOptions::default(),
    }
}

/// A server that accepts and never answers.
async fn frozen() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}
