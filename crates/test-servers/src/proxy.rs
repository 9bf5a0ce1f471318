//! A way to a server that can be broken: what goes through is passed on, refused or cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They reach the server.
    Passing,
    /// Each request is answered by HTTP's 503, which asks to come again later.
    Unavailable,
    /// They are taken, and nothing is ever answered.
    Silent,
    /// They are taken and cut at once.
    Cut,
}

/// Listens on a port of its own and passes connections on to a server.
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    mode: Mode,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// A proxy to a server of this machine.
    pub fn start(server: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State { mode: Mode::Passing, open: vec![] }));
        let shared = state.clone();
        // It ends with the process: a listener cannot be woken up.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || serve(client, server, &state));
            }
        });
        Ok(Self { port, state })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What becomes of connections from now on. All that are open are cut.
    pub fn set(&self, mode: Mode) {
        let mut state = locked(&self.state);
        state.mode = mode;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut client: TcpStream, server: u16, state: &Mutex<State>) {
    let mode = {
        let mut state = locked(state);
        state.open.extend(client.try_clone());
        state.mode
    };
    match mode {
        Mode::Passing => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server));
            let Ok(upstream) = TcpStream::connect(address) else { return };
            locked(state).open.extend(upstream.try_clone());
            pass(client, upstream);
        }
        Mode::Unavailable => {
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = client.read(&mut [0; 16 * 1024]);
            let _ = client.write_all(answer);
            let _ = client.shutdown(Shutdown::Write);
            drain(&mut client);
        }
        Mode::Silent => drain(&mut client),
        Mode::Cut => drop(client.shutdown(Shutdown::Both)),
    }
}

/// Both ways, until both sides have ended or the connection is cut.
fn pass(client: TcpStream, server: TcpStream) {
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let there = thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = std::io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = there.join();
}

fn drain(client: &mut TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
}
