//! Sockets that park the G while they are not ready.

mod tcp;

pub use tcp::{TcpListener, TcpStream};
