//! What the program and its libraries log: to the log pane, and to tui-logger's buffer of the newest lines.
//!
//! One rule: nothing is ever printed while the cockpit is on the screen, and all foreign text is cleaned.

use std::fmt::Write as _;

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::cockpit::Msg;
use crate::cockpit::msg::{Level, LogLine};
use crate::domain::text::clean;

use super::clock::wall;

/// What is heard without a filter of the operator's own.
const FILTER: &str = "warn,cutover=info,cutover::rehearsal=off,kube_client=error,kube_runtime=error,sqlx=error,s3s=off,s3s_fs=off";

/// Sends log lines to the cockpit; they are dropped when it cannot take them.
struct ToCockpit(mpsc::Sender<Msg>);

impl<S: Subscriber> Layer<S> for ToCockpit {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let level = match *meta.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        let mut text = Text::default();
        event.record(&mut text);
        let target = meta.target().trim_start_matches("cutover::").to_owned();
        let line = LogLine { at: wall(), level, target, text: clean(&text.0) };
        let _ = self.0.try_send(Msg::Log(line));
    }
}

/// An event's fields as one line.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.0, "{gap}{value:?}"),
            name => write!(self.0, "{gap}{name}={value:?}"),
        };
    }
}

/// Starts logging for the cockpit. `filter` is in the syntax of `RUST_LOG`.
pub fn start(to: mpsc::Sender<Msg>, filter: Option<&str>) {
    let filter = EnvFilter::try_new(filter.unwrap_or(FILTER)).unwrap_or_else(|_| EnvFilter::new(FILTER));
    // Without `init_logger`: its thread would wake the program a hundred times a second, idle or not.
    tui_logger::set_default_level(tui_logger::LevelFilter::Trace);
    let layers = tracing_subscriber::registry()
        .with(filter)
        .with(ToCockpit(to))
        .with(tui_logger::TuiTracingSubscriberLayer);
    // One that a test has set up before stays.
    let _ = layers.try_init();
}
