//! Thin clients of the four stores, built from the environment a process was given. Rule: they say what the
//! real clients say when a store refuses, because log lines and failure reasons are read by people.

pub(crate) mod clickhouse;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod s3;
