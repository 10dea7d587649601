//! Sockets that park the G while they are not ready.
//!
//! A socket belongs to the runtime in which it was made. Threads and Gs of another runtime may use it, too; but once its own has ended, waiting for
//! it is an error, and who waits already waits for ever.

mod tcp;

pub use tcp::{TcpListener, TcpStream};
