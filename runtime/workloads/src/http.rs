//! As much of HTTP/1.1 as the web programs speak: one request for each connection. `httparse` reads the messages.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use gmp_runtime::net::TcpStream;

/// The longest head that is read.
const HEAD: usize = 2048;

/// Reads a request; its path.
pub fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut buffer = [0; HEAD];
    let mut filled = 0;
    loop {
        let n = stream.read(&mut buffer[filled..])?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        filled += n;
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request
            .parse(&buffer[..filled])
            .map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        if parsed.is_complete() {
            return Ok(request.path.unwrap_or("/").to_owned());
        }
    }
}

/// Answers a request and ends the connection.
pub fn respond(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let reason = match status {
        200 => "OK",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let message = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(message.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// Asks for a path; the status.
pub fn get(address: SocketAddr, path: &str, deadline: Instant) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_deadline(Some(deadline));
    stream.set_write_deadline(Some(deadline));
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut buffer = [0; HEAD];
    let mut filled = 0;
    loop {
        let n = stream.read(&mut buffer[filled..])?;
        filled += n;
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response
            .parse(&buffer[..filled])
            .map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        if let (true, Some(status)) = (parsed.is_complete(), response.code) {
            return Ok(status);
        }
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The service time that a path asks for: `/work/1500` is 1,500 µs.
pub fn service_us(path: &str) -> Option<u64> {
    path.strip_prefix("/work/")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_the_service_time() {
        assert_eq!(service_us("/work/1500"), Some(1_500));
        assert_eq!(service_us("/work/x"), None);
        assert_eq!(service_us("/"), None);
    }
}
