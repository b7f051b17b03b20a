//! Ui seam until the panes are merged.
use crate::cockpit::Model;
use crate::domain::Now;
/// Look.
#[derive(Debug, Clone, Default)]
pub struct Look;
/// Draw.
pub fn draw(_: &mut ratatui::Frame<'_>, _: &Model, _: &Look, _: Now) {}
