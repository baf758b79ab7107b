//! The program: hands the command line to `cli` and its exit code to the system.
//! Never does anything else.

/// Keeps large tensors mapped between the steps of a training; the system's allocator gives them
/// back and faults them in again at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Adds large gradients in the thread that made them: candle would wake a thread for every core,
/// and let them spin, in each of the jobs that already share the cores out.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

fn main() -> std::process::ExitCode {
    #[expect(unsafe_code, reason = "candle reads this from the environment alone")]
    // SAFETY: this is the first thing that the only thread does.
    unsafe {
        std::env::set_var(CANDLE_THREADS, "1");
    }
    ohc::cli::run(std::env::args_os(), quit).into()
}

/// Ends the process at once: a second Ctrl-C does not wait for anything.
#[expect(clippy::exit, reason = "this is the one place that may end the process")]
fn quit(code: u8) -> ! {
    std::process::exit(code.into())
}
