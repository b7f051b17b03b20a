//! The cockpit's loop: one message at a time into the model, effects out, frames when something changed.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use crate::cockpit::msg::Answer;
use crate::cockpit::screen::Overlay;
use crate::cockpit::update::update;
use crate::cockpit::{Effect, Envelope, Model, Msg};
use crate::domain::{Kind, SourceId, Trouble};
use crate::shift::Shift;
use crate::ui::{self, Look};

use super::clock::Clock;
use super::frame::Painter;
use super::input::Input;
use super::pacer::Pacer;
use super::signals::{Asked, Signals};
use super::terminal::{self, Terminal, TerminalError};
use super::timers::Timers;
use super::writer::{Writer, Written};

/// How long journal lines and the lease may take at the end.
const LAST_TASKS: Duration = Duration::from_secs(2);

/// How long a verb that was started from here may take to end what it is writing.
const LAST_VERB: Duration = Duration::from_secs(30);

/// A task that carries out an effect and may answer.
pub type Task = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

/// Makes the task of an effect.
pub type Perform = Arc<dyn Fn(Effect, &Model) -> Task + Send + Sync>;

/// What the loop is connected to.
pub struct Wiring {
    /// Facts, log lines and answers of long-running tasks.
    pub inbox: mpsc::Receiver<Msg>,
    /// Carries out an effect that is not the loop's own.
    pub perform: Perform,
    /// Polls a source now, or all of them.
    pub poll_now: Box<dyn Fn(Option<SourceId>) + Send>,
}

/// Everything the loop holds on to.
struct Cockpit {
    clock: Clock,
    model: Model,
    look: Look,
    wiring: Wiring,
    painter: Painter,
    pacer: Pacer,
    timers: Timers,
    writer: Writer,
    tasks: JoinSet<Option<Answer>>,
    /// What the tasks carry out.
    effects: HashMap<Id, Effect>,
    dialog_frame: Option<u64>,
    exit: Option<u8>,
}

/// What woke the loop up.
enum Woken {
    Keyboard(Msg),
    Data(Msg),
    Asked(Asked),
    Written(Written),
    Ended(Result<(Id, Option<Answer>), JoinError>),
    Frame,
    Timer,
    TerminalGone,
}

/// Runs the cockpit until it ends, `begin` after its first frame; gives the exit code.
pub async fn run(
    clock: Clock,
    model: Model,
    look: Look,
    wiring: Wiring,
    terminal: Terminal,
    begin: impl FnOnce(),
) -> Result<u8, TerminalError> {
    let mut signals = Signals::listen()?;
    let (columns, rows) = terminal::size();
    let mut input = Input::start((columns, rows))?;
    let mut cockpit = Cockpit {
        clock,
        model,
        look,
        wiring,
        painter: Painter::new(columns, rows)?,
        pacer: Pacer::default(),
        timers: Timers::default(),
        writer: Writer::start(terminal::put_frame),
        tasks: JoinSet::new(),
        effects: HashMap::new(),
        dialog_frame: None,
        exit: None,
    };
    cockpit.model.screen.size = (columns, rows);
    cockpit.draw()?;
    begin();
    while cockpit.exit.is_none() {
        let woken = cockpit.wait(&mut input, &mut signals).await;
        cockpit.handle(woken, &terminal)?;
    }
    let patience = if cockpit.model.work.is_some() { LAST_VERB } else { LAST_TASKS };
    let (tasks, inbox) = (&mut cockpit.tasks, &mut cockpit.wiring.inbox);
    let last_tasks = async {
        loop {
            tokio::select! {
                ended = tasks.join_next() => if ended.is_none() { return },
                // Nobody reads it any more, and nobody must wait for room in it.
                Some(_) = inbox.recv() => {}
            }
        }
    };
    let _ = tokio::time::timeout(patience, last_tasks).await;
    drop(input);
    cockpit.writer.end(terminal::RESTORE.to_vec());
    terminal::restored();
    Ok(cockpit.exit.unwrap_or(0))
}

impl Cockpit {
    /// Keys and signals first, data last: a flood of facts never holds a key up.
    async fn wait(&mut self, input: &mut Input, signals: &mut Signals) -> Woken {
        let wake = self.clock.instant(self.timers.next());
        let busy = self.writer.busy();
        let frame = self.pacer.due().filter(|_| !busy).map(|at| self.clock.instant(at));
        tokio::select! {
            biased;
            key = input.next() => key.map_or(Woken::TerminalGone, Woken::Keyboard),
            asked = signals.next() => Woken::Asked(asked),
            written = self.writer.written(), if busy => Woken::Written(written),
            Some(ended) = self.tasks.join_next_with_id() => Woken::Ended(ended),
            () = tokio::time::sleep_until(frame.unwrap_or(wake)), if frame.is_some() => Woken::Frame,
            Some(msg) = self.wiring.inbox.recv() => Woken::Data(msg),
            () = tokio::time::sleep_until(wake) => Woken::Timer,
        }
    }

    fn handle(&mut self, woken: Woken, terminal: &Terminal) -> Result<(), TerminalError> {
        let now = self.clock.now().mono;
        match woken {
            Woken::Keyboard(msg) => {
                if let Msg::Resize(columns, rows) = msg {
                    self.painter = Painter::new(columns, rows)?;
                }
                self.tell(msg, terminal)?;
                self.pacer.key(now);
            }
            Woken::Data(msg) => {
                self.tell(msg, terminal)?;
                self.pacer.data(now);
            }
            Woken::Asked(Asked::Terminate) => self.tell(Msg::Terminate, terminal)?,
            Woken::Asked(Asked::Stop) => self.suspend(terminal)?,
            Woken::Asked(Asked::Continue) => {
                terminal.resume()?;
                self.repaint()?;
                self.tell(Msg::Resumed, terminal)?;
            }
            Woken::Written(Written::Frame(n)) if self.dialog_frame == Some(n) => {
                self.dialog_frame = None;
                self.tell(Msg::DialogShown, terminal)?;
            }
            Woken::Written(Written::Frame(_)) => {}
            Woken::Written(Written::Gone) | Woken::TerminalGone => {
                self.tell(Msg::Terminate, terminal)?;
                if self.exit.is_none() && !self.model.shift.in_flight() {
                    self.exit = Some(crate::cockpit::update::look::exit_code(&self.model));
                }
            }
            Woken::Ended(ended) => {
                if let Some(answer) = self.answer_of(ended) {
                    self.tell(answer, terminal)?;
                    self.pacer.answer(now);
                }
            }
            Woken::Frame => self.draw()?,
            Woken::Timer => {
                self.timers.pop(now);
                self.tell(Msg::Tick, terminal)?;
                self.pacer.data(now);
            }
        }
        Ok(())
    }

    /// One message into the model; its effects out.
    fn tell(&mut self, msg: Msg, terminal: &Terminal) -> Result<(), TerminalError> {
        let envelope = Envelope { now: self.clock.now(), msg };
        for effect in update(&mut self.model, envelope) {
            self.perform(effect, terminal)?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect, terminal: &Terminal) -> Result<(), TerminalError> {
        match effect {
            Effect::Quit(code) => self.exit = Some(code),
            Effect::WakeAt(at) => self.timers.add(at),
            Effect::PollNow(id) => (self.wiring.poll_now)(id),
            Effect::Repaint => self.repaint()?,
            Effect::Suspend => self.suspend(terminal)?,
            Effect::Bell => {
                self.writer.frame(b"\x07".to_vec());
            }
            effect => {
                let task = (self.wiring.perform)(effect.clone(), &self.model);
                self.effects.insert(self.tasks.spawn(task).id(), effect);
            }
        }
        Ok(())
    }

    /// What a task answers; where it died, what that means to whoever asked for its effect.
    fn answer_of(&mut self, ended: Result<(Id, Option<Answer>), JoinError>) -> Option<Msg> {
        let error = match ended {
            Ok((id, answer)) => {
                self.effects.remove(&id);
                return answer.map(Msg::Answer);
            }
            Err(error) => error,
        };
        // Nothing starts it again: what was asked for has to be asked for once more.
        let text = format!("it ended by a panic; ask for it once more: {error}");
        let trouble = Trouble::new(Kind::Unexpected, "an actuator", text);
        let effect = self.effects.remove(&error.id());
        let answer = effect.and_then(|effect| effect.unanswered(trouble.clone()));
        Some(Msg::Answer(answer.unwrap_or(Answer::Said(Err(trouble)))))
    }

    fn draw(&mut self) -> Result<(), TerminalError> {
        let now = self.clock.now();
        let (model, look) = (&self.model, &self.look);
        let bytes = self.painter.paint(|frame| ui::draw(frame, model, look, now))?;
        self.pacer.drawn(now.mono);
        let waits = self.dialog_frame.is_none() && waits_to_be_shown(&self.model);
        match bytes {
            Some(bytes) => {
                let n = self.writer.frame(bytes);
                if waits {
                    self.dialog_frame = Some(n);
                }
            }
            None if waits => self.dialog_frame = Some(self.writer.frame(Vec::new())),
            None => {}
        }
        Ok(())
    }

    fn repaint(&mut self) -> Result<(), TerminalError> {
        let (columns, rows) = terminal::size();
        self.painter = Painter::new(columns, rows)?;
        self.model.screen.size = (columns, rows);
        self.pacer.key(self.clock.now().mono);
        Ok(())
    }

    /// Ctrl-Z: nothing of ours may be on its way to the terminal when the shell takes it.
    fn suspend(&mut self, terminal: &Terminal) -> Result<(), TerminalError> {
        let writer = std::mem::replace(&mut self.writer, Writer::start(terminal::put_frame));
        writer.end(Vec::new());
        self.dialog_frame = None;
        terminal.suspend()?;
        self.repaint()?;
        self.tell(Msg::Resumed, terminal)
    }
}

/// Whether a dialog is in the model that no frame has shown yet.
fn waits_to_be_shown(model: &Model) -> bool {
    matches!(model.shift, Shift::Armed { shown: None, .. })
        || matches!(
            model.screen.overlay,
            Some(Overlay::Hold { shown: None, .. } | Overlay::Remedy { shown: None, plan: Some(_), .. })
        )
}
