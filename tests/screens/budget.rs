//! What a frame costs: bytes on the wire, and time.

use std::time::{Duration, Instant};

use cutover::cockpit::Model;
use cutover::domain::queue::QueuesFact;
use cutover::domain::{Fact, Now, SourceId};
use cutover::runtime::frame::Painter;
use cutover::ui::{self, Look};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::fixtures as f;
use super::moves;
use super::troubles;

fn paint(painter: &mut Painter, model: &Model, now: Now) -> usize {
    let bytes = painter.paint(|frame| ui::draw(frame, model, &Look::default(), now)).unwrap();
    bytes.map_or(0, |b| b.len())
}

#[test]
fn a_frame_of_an_unchanged_model_changes_no_cell() {
    for (columns, rows) in [(80, 24), (120, 36), (200, 50)] {
        let model = f::happy();
        let mut painter = Painter::new(columns, rows).unwrap();
        let first = paint(&mut painter, &model, f::now());
        assert!(first > 1_000 && first < 24_000, "the first frame took {first} bytes");
        assert_eq!(paint(&mut painter, &model, f::now()), 0);
        // Time alone changes nothing while every reading is fresh.
        assert_eq!(paint(&mut painter, &model, Now::at(f::NOW + 1)), 0);
    }
}

/// A deadline is counted down second by second, and costs next to nothing.
#[test]
fn a_pending_deadline_moves_every_second() {
    let mut model = moves::unconfirmed();
    let mut painter = Painter::new(80, 24).unwrap();
    paint(&mut painter, &model, f::now());
    for second in 1..=2 {
        let bytes = paint(&mut painter, &model, Now::at(f::NOW + second));
        assert!(bytes > 0 && bytes < 80, "{bytes} bytes");
    }
    model.pending = None;
    paint(&mut painter, &model, Now::at(f::NOW + 2));
    assert_eq!(paint(&mut painter, &model, Now::at(f::NOW + 3)), 0);
}

#[test]
fn a_full_repaint_fits_its_budget() {
    for ((columns, rows), most) in [((80, 24), 6_000), ((200, 50), 16_000)] {
        let mut painter = Painter::new(columns, rows).unwrap();
        let bytes = paint(&mut painter, &f::happy(), f::now());
        assert!(bytes <= most, "{bytes} bytes at {columns}x{rows}");
    }
}

/// The queues two seconds later: the most numbers that one source can move.
fn two_seconds_later(model: &mut Model, step: u64) {
    let mut fact: QueuesFact = model.facts.queues.value().cloned().unwrap();
    let now = Now::at(f::NOW + step * 2);
    for queue in fact.queues.iter_mut().filter(|q| q.waiting > 0) {
        queue.waiting = 5 + (queue.waiting + 41 * step) % 190;
        queue.added = queue.added.map(|n| n + 117 + step % 11);
        let history = model.history.queues.get_mut(&queue.name).unwrap();
        history.depth.push(now.mono, queue.depth() as f64);
        history.added.push(now.mono, queue.added.unwrap() as f64);
        history.left.push(now.mono, (queue.added.unwrap() - queue.waiting) as f64);
    }
    model.facts.take(SourceId::Queues, Ok(Fact::Queues(fact)), now.mono);
}

#[test]
fn one_source_costs_little() {
    for ((columns, rows), most) in [((80, 24), 400), ((120, 36), 400), ((200, 50), 700)] {
        let mut model = f::happy();
        let mut painter = Painter::new(columns, rows).unwrap();
        paint(&mut painter, &model, f::now());
        for step in 1..6 {
            two_seconds_later(&mut model, step);
            let bytes = paint(&mut painter, &model, f::now());
            assert!(bytes > 0 && bytes < most, "{bytes} bytes at {columns}x{rows}");
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test of time needs a clock")]
fn a_view_is_quick() {
    let buf = || Buffer::empty(Rect::new(0, 0, 200, 50));
    for make in [f::happy, troubles::troubled, f::wide, f::frozen] {
        let model = make();
        let mut times: Vec<Duration> = (0..100)
            .map(|_| {
                let mut buf = buf();
                let start = Instant::now();
                ui::render(&mut buf, &model, &Look::default(), f::now());
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        // The budget is 2 ms at the 99th of 100 in release. A debug build gets more, and is held to its median:
        // a machine that is shared takes its turns.
        let (at, most) = if cfg!(debug_assertions) { (50, 60) } else { (98, 10) };
        assert!(times[at] <= Duration::from_millis(most), "p50 {:?}, p99 {:?}", times[50], times[98]);
        eprintln!("p50 {:?}, p99 {:?}", times[50], times[98]);
    }
}
