//! The one thread that starts children.
//!
//! The kernel's parent-death signal (prctl(2), `PR_SET_PDEATHSIG`) fires when the *thread* that started the
//! child ends, so children must come from a thread that lives as long as the process; the workers of an
//! async runtime do not.

use std::{
    io,
    sync::{OnceLock, mpsc},
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

struct Order {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();

/// Starts `command` from the spawner's thread.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let (answer, child) = oneshot::channel();
    let order = Order { command, runtime: Handle::current(), answer };
    spawner().send(order).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

fn spawner() -> &'static mpsc::Sender<Order> {
    SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        let serve = move || {
            for mut order in inbox {
                let _entered = order.runtime.enter();
                if let Err(Ok(mut child)) = order.answer.send(order.command.spawn()) {
                    // The caller gave up, so that nobody knows of this one.
                    let _ = child.start_kill();
                }
            }
        };
        let started = std::thread::Builder::new().name("spawner".into()).spawn(serve);
        if let Err(failure) = started {
            tracing::error!("no thread to start processes from: {failure}");
        }
        orders
    })
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts processes has ended")
}
