//! A thread that runs no G waits for a timer. Alone in its process: its timers are those of the runtime that was started last.

use std::time::{Duration, Instant};

use gmp_runtime::sync::Mutex;
use gmp_runtime::time::Timer;
use gmp_runtime::{Builder, channel, select};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_thread_without_a_g_waits_for_a_timer() {
    let (ready, started) = std::sync::mpsc::channel();
    let (stop, ended) = channel::<()>(0);
    let runtime = std::thread::spawn(move || {
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        unsafe { Builder::new() }.procs(1).run(move || {
            ready.send(()).expect("the test waits");
            ended.recv().expect_err("it is closed");
        });
    });
    started.recv().expect("it starts");
    let log = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            let timer = Timer::new(HOUR);
            timer.reset(2 * MS);
            select! {
                recv(timer.chan()) -> at => log.lock().push(at.expect("it is never closed") - began >= 2 * MS),
            }
        });
    });
    assert_eq!(*log.lock(), [true]);
    drop(stop);
    runtime.join().expect("no panic");
}
