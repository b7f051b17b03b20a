//! The program: hooks, then the command line, then an exit code.

use std::process::ExitCode;

fn main() -> color_eyre::Result<ExitCode> {
    color_eyre::config::HookBuilder::default()
        .display_env_section(false)
        .install()?;
    cutover::runtime::panic::install();
    let code = std::panic::catch_unwind(|| cutover::cli::run(std::env::args_os()));
    Ok(ExitCode::from(code.unwrap_or(cutover::runtime::panic::EXIT)))
}
