//! A backend for ratatui that gathers one frame's bytes, and none at all when no cell changed.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

/// Begin synchronized update (DEC private mode 2026): the terminal shows the frame at once.
const BEGIN: &[u8] = b"\x1b[?2026h";
/// End synchronized update.
const END: &[u8] = b"\x1b[?2026l";

/// Colours off, everything cleared.
const CLEAR: &[u8] = b"\x1b[0m\x1b[2J";

/// The bytes of the frame being drawn.
#[derive(Debug, Clone, Default)]
struct Bytes(Rc<RefCell<Vec<u8>>>);

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gathers bytes; the cursor stays hidden.
#[derive(Debug)]
struct Gather {
    inner: CrosstermBackend<Bytes>,
    size: Size,
}

impl Backend for Gather {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        self.inner.draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _: P) -> io::Result<()> {
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.inner.clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.inner.clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The screen's two buffers, and the bytes between them.
#[derive(Debug)]
pub struct Painter {
    terminal: Terminal<Gather>,
    bytes: Bytes,
}

impl Painter {
    /// An empty screen of this size; the first frame paints everything.
    pub fn new(columns: u16, rows: u16) -> io::Result<Self> {
        let bytes = Bytes::default();
        let backend = Gather { inner: CrosstermBackend::new(bytes.clone()), size: Size::new(columns, rows) };
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        // What another size, or another program, left there is not in our buffers.
        bytes.0.borrow_mut().extend_from_slice(CLEAR);
        Ok(Self { terminal, bytes })
    }

    /// Draws a frame and gives its bytes; `None` when no cell changed.
    pub fn paint(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<Option<Vec<u8>>> {
        self.terminal.draw(view)?;
        let mut gathered = self.bytes.0.borrow_mut();
        if gathered.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(gathered.len() + BEGIN.len() + END.len());
        bytes.extend_from_slice(BEGIN);
        bytes.append(&mut gathered);
        bytes.extend_from_slice(END);
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::widgets::Paragraph;

    fn text(painter: &mut Painter, text: &str) -> Option<Vec<u8>> {
        painter.paint(|f| f.render_widget(Paragraph::new(text), f.area())).unwrap()
    }

    #[test]
    fn a_new_painter_clears_what_another_size_left() {
        let mut parser = vt100::Parser::new(3.try_into().unwrap(), 20.try_into().unwrap(), 0);
        parser.process(b"\x1b[1;1Hleft over from before");
        parser.process(&text(&mut Painter::new(20, 3).unwrap(), "new").unwrap());
        assert_eq!(parser.screen().contents().trim_end(), "new");
    }

    #[test]
    fn a_frame_without_a_change_is_no_byte() {
        let mut painter = Painter::new(80, 24).unwrap();
        let first = text(&mut painter, "v2 80 %").unwrap();
        assert!(first.starts_with(BEGIN) && first.ends_with(END));
        assert_eq!(text(&mut painter, "v2 80 %"), None);
        let change = text(&mut painter, "v2 75 %").unwrap();
        assert!(change.len() < 64, "{}", change.len());
    }
}
