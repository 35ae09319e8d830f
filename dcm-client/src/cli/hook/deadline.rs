//! The end of a hook that takes too long.

use std::time::Duration;

/// Ends the process at the deadline for as long as it is there.
pub(super) struct Deadline {
    #[cfg(target_os = "linux")]
    _timers: Option<[nix::sys::timer::Timer; 2]>,
}

/// Has this process end after `left`, with 0, whatever it is doing then. What it writes half at that moment, the next
/// reader passes over.
pub(super) fn enforce(left: Duration) -> Deadline {
    #[cfg(target_os = "linux")]
    {
        // Not by a thread: starting one, with a stack and a heap of its own, takes a tenth of the time of a hook.
        let timers = timers(left);
        if timers.is_none() {
            by_thread(left);
        }
        Deadline { _timers: timers }
    }
    #[cfg(not(target_os = "linux"))]
    {
        by_thread(left);
        Deadline {}
    }
}

/// A timer whose signal ends the process; and one that kills it a little later, because a process that waits for a
/// network file system that is away hears no other signal.
#[cfg(target_os = "linux")]
fn timers(left: Duration) -> Option<[nix::sys::timer::Timer; 2]> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
    use nix::sys::time::TimeSpec;
    use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
    use nix::time::ClockId;

    /// A process that hears the first signal has ended long before.
    const MERCY: Duration = Duration::from_secs(1);

    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(Signal::SIGALRM as i32, 0, always).ok()?;
    // Whoever started the hook may have blocked it.
    SigSet::from(Signal::SIGALRM).thread_unblock().ok()?;
    let timer = |signal: Signal, after: Duration| {
        let event = SigEvent::new(SigevNotify::SigevSignal { signal, si_value: 0 });
        let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event).ok()?;
        // Zero would mean never.
        let after = TimeSpec::from_duration(after.max(Duration::from_micros(1)));
        timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty()).ok()?;
        Some(timer)
    };
    Some([timer(Signal::SIGALRM, left)?, timer(Signal::SIGKILL, left + MERCY)?])
}

/// A thread that ends the process. Without it there is no deadline, but the hook still does its work.
fn by_thread(left: Duration) {
    let watch = move || {
        std::thread::sleep(left);
        std::process::exit(0);
    };
    drop(std::thread::Builder::new().spawn(watch));
}
