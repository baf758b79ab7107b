//! The program: hands the command line to `cli` and its exit code to the system.
//! Never does anything else.

use mimalloc::MiMalloc;
use ohc::compute::memory::count;
use std::alloc::{GlobalAlloc, Layout};

/// Keeps large tensors mapped between the steps of a training; the system's allocator gives them
/// back and faults them in again at every step. Tells what is taken to whoever holds a job to a
/// bound.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "what allocates is unsafe to be called")]
// SAFETY: all is done by mimalloc, as it was asked for; to count takes and gives no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is mimalloc's.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is mimalloc's.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise is mimalloc's.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is mimalloc's.
        unsafe { MiMalloc.realloc(at, layout, size) }
    }
}

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
