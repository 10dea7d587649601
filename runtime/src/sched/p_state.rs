//! The state word of a P: its state and, while it is in a system call, whose.
//!
//! # Protocol
//! The owner moves the state on with a plain store ([`StateWord::set`]). The M that enters a system call stores its own number beside the state
//! ([`StateWord::enter_syscall`]) and owns the P no more. It comes back by a compare-and-swap from exactly that word
//! ([`StateWord::leave_syscall`]); anybody else takes the P from the call by one from the word that it has read ([`StateWord::take`]).
//!
//! # Why the number
//! An M that was held up between looking and swapping finds the P in a system call again: in that of the M that has got it meanwhile.
//! With the state alone in the word it would take the P away from there and believe that it never lost it. Go, whose word has the
//! state alone, detects this afterwards by a count of system calls (`exitsyscallfast`, up to 1.25).

use crate::shim::{AtomicU64, Ordering};

/// The number of the state "in a system call".
pub(crate) const SYSCALL: u8 = 2;

/// State in the lowest byte, the M above it.
pub(crate) struct StateWord(AtomicU64);

impl StateWord {
    /// In a state that is not [`SYSCALL`].
    pub(crate) fn new(state: u8) -> StateWord {
        StateWord(AtomicU64::new(u64::from(state)))
    }

    /// The state as of now.
    pub(crate) fn get(&self) -> u8 {
        // SeqCst: stopping the world and leaving a system call each write one word and read the other (the stop flag and this);
        // a total order over the four accesses means that one of the two sees the other's write.
        self.0.load(Ordering::SeqCst) as u8
    }

    /// The owner moves the state on.
    pub(crate) fn set(&self, to: u8) {
        // SeqCst: see `get`; it also releases the owner's cells to the next owner.
        self.0.store(u64::from(to), Ordering::SeqCst);
    }

    /// The owner, M number `m`, gives the P up for a system call.
    pub(crate) fn enter_syscall(&self, m: u32) {
        // SeqCst: as `set`.
        self.0.store(in_syscall(m), Ordering::SeqCst);
    }

    /// M number `m` comes back from its system call; `false` if somebody took the P since. Else it owns it, in state `to`.
    pub(crate) fn leave_syscall(&self, m: u32, to: u8) -> bool {
        self.swap(in_syscall(m), to)
    }

    /// Takes the P out of a system call, if it is in one and nobody is faster: whose it was. The caller owns it, in state `to`.
    pub(crate) fn take(&self, to: u8) -> Option<u32> {
        // SeqCst: see `get`.
        let word = self.0.load(Ordering::SeqCst);
        (word as u8 == SYSCALL && self.swap(word, to)).then_some((word >> 8) as u32)
    }

    fn swap(&self, from: u64, to: u8) -> bool {
        // SeqCst: see `get`; success acquires the cells from the M that entered the system call. Relaxed: a failure decides nothing.
        let swapped =
            self.0
                .compare_exchange(from, u64::from(to), Ordering::SeqCst, Ordering::Relaxed);
        swapped.is_ok()
    }
}

fn in_syscall(m: u32) -> u64 {
    u64::from(m) << 8 | u64::from(SYSCALL)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_m_leaves_and_the_taker_learns_whose_it_was() {
        let word = StateWord::new(1);
        assert_eq!(word.take(0), None);
        word.enter_syscall(7);
        assert!(!word.leave_syscall(8, 1));
        assert!(word.leave_syscall(7, 1));
        assert_eq!(word.get(), 1);
        word.enter_syscall(u32::MAX);
        assert_eq!((word.get(), word.take(0)), (SYSCALL, Some(u32::MAX)));
        assert_eq!(word.get(), 0);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// M1 comes back while its P is retaken, given to M2, and in a system call of M2.
    #[test]
    fn loom_an_m_that_lost_its_p_does_not_take_it_from_anothers_system_call() {
        loom::model(|| {
            let word = Arc::new(StateWord::new(1));
            word.enter_syscall(1);
            let theirs = Arc::clone(&word);
            let second = thread::spawn(move || {
                let taken = theirs.take(0);
                if taken.is_some() {
                    theirs.set(1);
                    theirs.enter_syscall(2);
                    assert!(theirs.leave_syscall(2, 1), "nobody took it from M2");
                }
                taken
            });
            let came_back = word.leave_syscall(1, 1);
            let taken = second.join().expect("no panic");
            assert_eq!(taken, (!came_back).then_some(1));
        });
    }

    /// Two take the P out of the same system call.
    #[test]
    fn loom_a_p_is_taken_from_a_system_call_once() {
        loom::model(|| {
            let word = Arc::new(StateWord::new(1));
            word.enter_syscall(1);
            let theirs = Arc::clone(&word);
            let other = thread::spawn(move || theirs.take(0).is_some());
            let this = word.take(3).is_some();
            assert!(other.join().expect("no panic") ^ this);
        });
    }
}
