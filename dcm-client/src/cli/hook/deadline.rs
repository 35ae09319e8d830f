//! The end of a hook that takes too long.

use std::time::Duration;

/// Ends the process at the deadline for as long as it is there.
pub(super) struct Deadline {
    #[cfg(target_os = "linux")]
    _timer: Option<nix::sys::timer::Timer>,
}

/// Has this process end after `left`, with 0, whatever it is doing then. What it writes half at that moment, the next
/// reader passes over.
pub(super) fn enforce(left: Duration) -> Deadline {
    #[cfg(target_os = "linux")]
    {
        // Not by a thread: starting one, with a stack and a heap of its own, takes a tenth of the time of a hook.
        let timer = timer(left);
        if timer.is_none() {
            by_thread(left);
        }
        Deadline { _timer: timer }
    }
    #[cfg(not(target_os = "linux"))]
    {
        by_thread(left);
        Deadline {}
    }
}

/// A timer whose signal ends the process.
#[cfg(target_os = "linux")]
fn timer(left: Duration) -> Option<nix::sys::timer::Timer> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
    use nix::sys::time::TimeSpec;
    use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
    use nix::time::ClockId;

    let signal = Signal::SIGALRM;
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal as i32, 0, always).ok()?;
    // Whoever started the hook may have blocked it.
    SigSet::from(signal).thread_unblock().ok()?;
    let event = SigEvent::new(SigevNotify::SigevSignal { signal, si_value: 0 });
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event).ok()?;
    // Zero would mean never.
    let left = TimeSpec::from_duration(left.max(Duration::from_micros(1)));
    timer.set(Expiration::OneShot(left), TimerSetTimeFlags::empty()).ok()?;
    Some(timer)
}

/// A thread that ends the process. Without it there is no deadline, but the hook still does its work.
fn by_thread(left: Duration) {
    let watch = move || {
        std::thread::sleep(left);
        std::process::exit(0);
    };
    drop(std::thread::Builder::new().spawn(watch));
}
