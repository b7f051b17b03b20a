//! `cutover status`: one look, or one after the other.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::args::StatusArgs;
use super::desk::{Desk, Waited};
use super::exit::Exit;
use super::print;
use crate::cockpit::advisor::Severity;
use crate::cockpit::report::Report;
use crate::config::Config;
use crate::domain::SourceId;
use crate::runtime::Clock;
use crate::ui::{self, Look, plain};

/// Columns and rows of a picture.
const PICTURE: (u16, u16) = (120, 36);
/// Between two looks of `--watch`.
const EACH: Duration = Duration::from_secs(5);

/// Gathers once and prints; with `--watch` until it is asked to end.
pub async fn run(clock: Clock, config: &Config, args: &StatusArgs) -> Exit {
    let mut desk = match Box::pin(Desk::open(clock, config, config.environment.arm, false)).await {
        Ok(desk) => desk,
        Err(exit) => return exit,
    };
    desk.lease(false).await;
    let limit = Duration::from_secs(args.wait);
    let mut waited = desk.gather(&SourceId::ALL, limit).await;
    if let Some(file) = &args.picture {
        // Long enough for rates, shares and visible-after to have something to say.
        desk.wait(limit, |_| false).await;
        let drawn = picture(&desk, file);
        Box::pin(desk.close()).await;
        return drawn;
    }
    loop {
        if waited == Waited::Interrupted {
            break;
        }
        show(&desk, args);
        if !args.watch {
            break;
        }
        waited = desk.wait(EACH, |_| false).await;
    }
    let exit = verdict(&mut desk);
    Box::pin(desk.close()).await;
    exit
}

/// The screen as it would be drawn now, as SVG.
fn picture(desk: &Desk, file: &std::path::Path) -> Exit {
    let mut model = desk.model.clone();
    model.screen.size = PICTURE;
    let look = Look::from_env(None, Some("xterm-256color"), true);
    let mut buffer = Buffer::empty(Rect::new(0, 0, PICTURE.0, PICTURE.1));
    ui::render(&mut buffer, &model, &look, desk.now());
    match std::fs::write(file, ui::svg::render(&buffer, &look)) {
        Ok(()) => Exit::Fine,
        Err(error) => {
            print::err(format!("{}: {error}", file.display()));
            Exit::Usage
        }
    }
}

fn show(desk: &Desk, args: &StatusArgs) {
    let now = desk.now();
    if !args.json {
        print::out(plain::text(&desk.model, now));
        return;
    }
    let report = Report::of(&desk.model, now);
    // Plain data with string keys: this cannot fail.
    let text =
        if args.watch { serde_json::to_string(&report) } else { serde_json::to_string_pretty(&report) };
    print::out(text.unwrap_or_default());
}

/// Without routes and cluster nothing can be said; warnings are findings.
fn verdict(desk: &mut Desk) -> Exit {
    let facts = &desk.model.facts;
    let nothing_there = facts.cluster.value().is_none_or(|c| c.workloads.is_empty());
    if facts.routes.value().is_none() && nothing_there {
        let failure = facts.failure(SourceId::Traffic).or_else(|| facts.failure(SourceId::Cluster));
        if let Some(trouble) = failure.map(|f| f.trouble.clone()) {
            desk.tell(&trouble);
        }
        return Exit::Unreachable;
    }
    let bad = |s: Severity| s <= Severity::Warning;
    if desk.model.findings.iter().any(|f| bad(f.severity)) { Exit::Findings } else { Exit::Fine }
}
