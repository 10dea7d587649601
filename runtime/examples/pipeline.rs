//! A program to start from: numbers go through a channel to one worker for each P, which gives up its P now and then.
//!
//! `gmp-record target/release/examples/pipeline` records it.

use gmp_runtime::sync::WaitGroup;
use gmp_runtime::{Builder, channel, go, procs, time, yield_now};

fn main() {
    // SAFETY: nothing below holds anything bound to a thread (a std lock, a thread-local) over a call into the runtime.
    let sum = unsafe { Builder::new() }.run(|| {
        let (numbers, jobs) = channel::<u64>(64);
        let (sums, results) = channel::<u64>(0);
        let done = WaitGroup::new();
        for _ in 0..procs() {
            let (jobs, sums, done) = (jobs.clone(), sums.clone(), done.clone());
            done.add(1);
            go(move || {
                let mut sum = 0;
                for n in jobs.iter() {
                    sum += n;
                    if n % 100 == 0 {
                        yield_now();
                    }
                }
                done.done();
                sums.send(sum).expect("the main G listens");
            });
        }
        drop(sums);
        for n in 0..10_000 {
            numbers.send(n).expect("workers listen");
            if n % 2_500 == 0 {
                time::sleep(std::time::Duration::from_millis(1));
            }
        }
        drop(numbers);
        let sum: u64 = results.iter().sum();
        done.wait();
        sum
    });
    println!("sum {sum}");
    assert_eq!(sum, 10_000 * 9_999 / 2);
}
