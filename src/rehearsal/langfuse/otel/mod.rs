//! OTLP traces: the protobuf messages we need, their JSON form, and what Langfuse makes of a span.

mod convert;
mod json;
mod message;
#[cfg(test)]
mod tests;

pub(crate) use convert::events;
pub(crate) use json::from_json;
pub(crate) use message::from_protobuf;
