//! `cutover`: a terminal cockpit for moving a self-hosted Langfuse from v2 to v3.
//!
//! **One sentence.** Sources send timestamped facts; [`cockpit::update`] is the only code that changes
//! the model; [`ui`] only reads it; actuators carry out effects and answer with messages; the runtime is
//! the only code that touches clock, terminal, tasks and signals. The verbs without a screen use the same
//! sources, routers, plans and journal as the screen does.
//!
//! ```text
//!  sources  (cluster, traffic, backfill, queues, latency, stores) --+
//!  runtime: keys, signals, timers ----------------------------------+--> Envelope{now, Msg} --> cockpit::update --> Model --> ui --> one write per frame
//!  actuators (answers, each with its operation id) -----------------+                               |
//!                                                      ^                                            |
//!                                                      +----------- actuators::perform <-- Effects -+
//! ```
//!
//! # Rooms
//! | room | holds | may use |
//! |---|---|---|
//! | [`domain`] | pure vocabulary: clock readings, samples, splits, facts, counts | nothing of the crate |
//! | [`shift`] | pure: plan, ladder, guards, the shift state machine | `domain` |
//! | [`cockpit`] | pure: model, messages, effects, update, command table, advisor | `domain`, `shift` |
//! | [`ui`] | pure view: layout, theme, panes, overlays, plain text | `domain`, `shift`, `cockpit` |
//! | [`clients`] | connections to Kubernetes, PostgreSQL, ClickHouse, Redis, HTTP, S3, with our timeouts | `domain` |
//! | [`config`] | validated configuration with the origin of each value, and the targets it builds for the clients | `domain`, `clients` |
//! | [`routers`] | one file per traffic mechanism behind one trait | `domain`, `shift`, `clients` |
//! | [`sources`] | one poller or watcher per subject behind one trait and one driver | `domain`, `clients`, `routers`, `data`, `cockpit::msg` |
//! | [`data`] | the data engine: the description of the tables, census, verify, copies in both directions, the migration lock | `domain`, `clients` |
//! | [`actuators`] | what changes the world: apply a plan, journal, lease | `domain`, `shift`, `cockpit` (messages), `routers`, `clients` |
//! | `rehearsal` | a complete local migration to practise on (cargo feature) | anything below the runtime |
//! | [`runtime`] | event loop, clock, pacer, terminal guard, writer, signals | all |
//! | [`cli`] | verbs and exit codes | all |
//!
//! `tests/architecture.rs` holds every `use crate::` line against this table.

pub mod actuators;
pub mod cli;
pub mod clients;
pub mod cockpit;
pub mod config;
pub mod data;
pub mod domain;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod routers;
pub mod runtime;
pub mod shift;
pub mod sources;
pub mod ui;
