//! A thread that writes frames to the terminal, so that a slow line never holds a key up.
//!
//! One rule: one frame is one write, and what restores the terminal is always written last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long frames may take at the end until they are given up, and the last bytes after them; a terminal that is
/// gone never takes them.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Something to write.
enum Job {
    Frame(u64, Vec<u8>),
    End(Vec<u8>),
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing but the last bytes is left.
    Frames,
    /// They are written, too.
    Last,
}

/// What the thread reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// This frame has left.
    Frame(u64),
    /// The terminal is gone.
    Gone,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    done: tokio::sync::mpsc::UnboundedReceiver<Written>,
    ended: mpsc::Receiver<End>,
    hurry: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    next: u64,
    /// Frames that were handed over and not yet reported.
    on_their_way: u64,
}

impl Writer {
    /// Starts the thread; `write` puts all bytes out unless its flag asks it to give them up, and says whether the
    /// terminal still takes them.
    pub fn start(write: impl Fn(&[u8], &AtomicBool) -> bool + Send + 'static) -> Self {
        let (jobs, inbox) = mpsc::channel();
        let (report, done) = tokio::sync::mpsc::unbounded_channel();
        let (end, ended) = mpsc::channel();
        let hurry = Arc::new(AtomicBool::new(false));
        let hurried = Arc::clone(&hurry);
        let work = move || {
            for job in inbox {
                let written = match job {
                    Job::Frame(n, bytes) if write(&bytes, &hurried) => Written::Frame(n),
                    Job::Frame(..) => Written::Gone,
                    Job::End(bytes) => {
                        let _ = end.send(End::Frames);
                        write(&bytes, &AtomicBool::new(false));
                        let _ = end.send(End::Last);
                        return;
                    }
                };
                let _ = report.send(written);
            }
        };
        let thread = std::thread::Builder::new().name("terminal".into()).spawn(work).ok();
        Self { jobs, done, ended, hurry, thread, next: 0, on_their_way: 0 }
    }

    /// Whether a frame is still on its way.
    pub const fn busy(&self) -> bool {
        self.on_their_way > 0
    }

    /// Hands a frame over; its number comes back when it has left.
    pub fn frame(&mut self, bytes: Vec<u8>) -> u64 {
        self.next += 1;
        self.on_their_way += u64::from(self.jobs.send(Job::Frame(self.next, bytes)).is_ok());
        self.next
    }

    /// Waits for a frame to have left. Never answers while there is none on its way.
    pub async fn written(&mut self) -> Written {
        let written = self.done.recv().await;
        self.on_their_way = self.on_their_way.saturating_sub(1);
        match written {
            Some(written) => written,
            None => std::future::pending().await,
        }
    }

    /// Writes the last bytes after everything else, and ends the thread. Frames that a slow terminal has not taken in
    /// time are given up: the last bytes are what counts.
    pub fn end(mut self, last: Vec<u8>) {
        let _ = self.jobs.send(Job::End(last));
        let mut reached = self.ended.recv_timeout(LAST_WORDS);
        if reached.is_err() {
            self.hurry.store(true, Ordering::SeqCst);
            reached = self.ended.recv_timeout(LAST_WORDS);
        }
        if reached == Ok(End::Frames) {
            reached = self.ended.recv_timeout(LAST_WORDS);
        }
        if reached == Ok(End::Last)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn one_write_a_frame_and_the_end_comes_last() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let mut writer = Writer::start(move |bytes, _| {
            sink.lock().unwrap().push(bytes.to_vec());
            true
        });
        let n = writer.frame(b"one".to_vec());
        assert!(writer.busy());
        assert_eq!(writer.written().await, Written::Frame(n));
        assert!(!writer.busy());
        writer.frame(b"two".to_vec());
        writer.end(b"end".to_vec());
        assert_eq!(*seen.lock().unwrap(), [b"one".to_vec(), b"two".to_vec(), b"end".to_vec()]);
    }

    #[tokio::test]
    async fn a_bell_behind_a_frame_is_reported_before_the_next_frame() {
        let mut writer = Writer::start(|_, _| true);
        let (frame, bell) = (writer.frame(b"frame".to_vec()), writer.frame(b"bell".to_vec()));
        assert_eq!(writer.written().await, Written::Frame(frame));
        assert!(writer.busy(), "the bell's own report is still to come");
        assert_eq!(writer.written().await, Written::Frame(bell));
        assert!(!writer.busy());
        writer.end(vec![]);
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_said() {
        let mut writer = Writer::start(|_, _| false);
        writer.frame(b"x".to_vec());
        assert_eq!(writer.written().await, Written::Gone);
        writer.end(vec![]);
    }

    #[tokio::test]
    async fn a_slow_terminal_loses_a_frame_and_never_the_end() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let mut writer = Writer::start(move |bytes, hurry| {
            while bytes == b"slow" && !hurry.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            sink.lock().unwrap().push(bytes.to_vec());
            true
        });
        writer.frame(b"slow".to_vec());
        writer.end(b"end".to_vec());
        assert_eq!(seen.lock().unwrap().last().unwrap(), b"end");
    }
}
