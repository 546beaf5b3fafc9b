//! A port that is known before the program that listens on it starts, for what must name itself in its configuration.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::net::TcpSocket;

/// A free port of 127.0.0.1, kept from all but programs that share ports on purpose, as Envoy's listeners do (`SO_REUSEPORT`).
/// The socket behind it never listens, so no connection ends here.
pub struct Reserved {
    port: u16,
    _socket: TcpSocket,
}

impl Reserved {
    /// Takes one until this is dropped.
    pub fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { port: socket.local_addr()?.port(), _socket: socket })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}
