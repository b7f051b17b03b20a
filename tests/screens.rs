//! The screen: snapshots with styles, sizes it must survive, and what a frame costs.

#[path = "screens/fixtures.rs"]
mod fixtures;
#[path = "screens/picture.rs"]
mod picture;

use cutover::ui::{Look, Theme};

#[test]
#[ignore = "writes pictures for a look by eye"]
fn pictures() {
    let dir = std::env::var("PICTURES").unwrap();
    for (name, model, now) in all() {
        for size in [(80, 24), (120, 36), (200, 50)] {
            let buf = picture::buffer(&model, now, size, Theme::Ansi);
            let file = format!("{dir}/{name}-{}x{}", size.0, size.1);
            std::fs::write(
                format!("{file}.svg"),
                cutover::ui::svg::render(&buf, &Look::default()),
            )
            .unwrap();
            std::fs::write(format!("{file}.txt"), picture::grid(&buf)).unwrap();
        }
    }
}

fn all() -> Vec<(&'static str, cutover::cockpit::Model, cutover::domain::Now)> {
    use fixtures as f;
    vec![
        ("happy", f::happy(), f::now()),
        ("unread", f::unread(), f::now()),
        ("failing", f::failing(), f::now()),
        ("stale", f::stale(), f::stale_now()),
        ("troubled", f::troubled(), f::now()),
        ("frozen", f::frozen(), f::frozen_now()),
        ("armed", f::armed(""), f::now()),
        ("taking-back", f::taking_back(), f::now()),
        ("proposed", f::proposed(), f::now()),
        ("unknown", f::unknown(), f::now()),
        ("conflict", f::conflict(), f::now()),
        ("done", f::done(), f::now()),
        ("applying", f::applying(), f::now()),
        ("wide", f::wide(), f::now()),
    ]
}
