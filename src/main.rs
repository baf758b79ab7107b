//! The program: hands the command line to `cli` and its exit code to the system.
//! Never does anything else.

/// Keeps large tensors mapped between the steps of a training; the system's allocator gives them
/// back and faults them in again at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ohc::cli::run(std::env::args_os(), quit).into()
}

/// Ends the process at once: a second Ctrl-C does not wait for anything.
#[expect(clippy::exit, reason = "this is the one place that may end the process")]
fn quit(code: u8) -> ! {
    std::process::exit(code.into())
}
