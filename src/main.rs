//! The program: everything is in the library, this only hands the command line over.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cutover::cli::run(std::env::args_os()))
}
