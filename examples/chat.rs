//! A chat server: lines that one says, all others read.
//!
//! ```text
//! cargo run --release --example chat -- 127.0.0.1:7008
//! nc 127.0.0.1 7008
//! ```
//!
//! The first line is one's name. What is shared lies in an `Rc<RefCell<...>>`, since all green
//! threads of the server are on one OS thread.

#![deny(unsafe_code)]

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

use greenroom::net::{TcpStream, listen, serve};

const GUESTS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 40;
const LINE_BYTES_MAX: u64 = 1024;

/// Who does not read is shown out: after so long, or when so many lines wait.
const PATIENCE: Duration = Duration::from_secs(30);
const UNREAD_MAX: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let [Ok(address)] = &arguments[..] else {
        eprintln!("usage: chat ADDRESS  such as 127.0.0.1:7008; port 0 is any");
        return ExitCode::from(2);
    };
    let Err(error) = run(address) else { return ExitCode::SUCCESS };
    eprintln!("chat: cannot serve {address}: {error}");
    ExitCode::FAILURE
}

fn run(address: &str) -> io::Result<()> {
    let listener = listen(address)?;
    println!("listening on {}", listener.local_addr()?);
    let room = Room::default();
    let server = serve(listener, GUESTS_MAX, move |stream, _| {
        // A guest whose connection breaks has left, and that is all there is to it.
        let _ = welcome(&room, stream);
    });
    server.join()
}

/// Who is there, by name.
type Room = RefCell<BTreeMap<String, Rc<Guest>>>;

/// One guest, from the door and back to it.
fn welcome(room: &Room, stream: TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let guest = Rc::new(Guest { stream, unread: RefCell::default(), writes: Cell::new(false) });
    let mut reader = BufReader::new(&guest.stream);
    guest.send("Your name?\n".into());
    let name = loop {
        let Some(name) = next_line(&mut reader)? else { return Ok(()) };
        let is_name = name.chars().all(char::is_alphanumeric) && !name.is_empty();
        if is_name && name.len() <= NAME_BYTES_MAX && !room.borrow().contains_key(&name) {
            break name;
        }
        guest.send("Letters and digits, please, and not taken. Your name?\n".into());
    };
    room.borrow_mut().insert(name.clone(), Rc::clone(&guest));
    tell_others(room, &name, format!("* {name} is here"));
    let left = listen_to(room, &name, &mut reader);
    room.borrow_mut().remove(&name);
    tell_others(room, &name, format!("* {name} has left"));
    left
}

fn listen_to(room: &Room, name: &str, reader: &mut impl BufRead) -> io::Result<()> {
    while let Some(line) = next_line(reader)? {
        tell_others(room, name, format!("{name}: {line}"));
    }
    Ok(())
}

fn tell_others(room: &Room, name: &str, line: String) {
    let line: Rc<str> = (line + "\n").into();
    for (_, guest) in room.borrow().iter().filter(|(other, _)| *other != name) {
        guest.send(Rc::clone(&line));
    }
}

struct Guest {
    stream: TcpStream,
    unread: RefCell<VecDeque<Rc<str>>>,
    /// A green thread is writing to it.
    writes: Cell<bool>,
}

impl Guest {
    /// Sends a line, and does not wait for that: a green thread does, started when there is
    /// something to write, gone when there is not.
    fn send(self: &Rc<Guest>, line: Rc<str>) {
        if self.unread.borrow().len() == UNREAD_MAX {
            return self.show_out();
        }
        self.unread.borrow_mut().push_back(line);
        if !self.writes.replace(true) {
            let guest = Rc::clone(self);
            drop(greenroom::spawn(move || guest.write()));
        }
    }

    fn write(&self) {
        while let Some(line) = self.next_unread() {
            if (&self.stream).write_all(line.as_bytes()).is_err() {
                return self.show_out();
            }
        }
        self.writes.set(false);
    }

    fn next_unread(&self) -> Option<Rc<str>> {
        self.unread.borrow_mut().pop_front()
    }

    /// Ends the connection. Whoever reads from it or writes to it finds out, and leaves.
    fn show_out(&self) {
        // One that has ended already needs no ending.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The next line, without what a terminal would take for a command. `None` at the end, and for a
/// line that is too long.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    // Who talks without a pause must not keep the others from reading.
    greenroom::yield_now();
    let mut bytes = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.chars().filter(|letter| !letter.is_control()).collect()))
}
