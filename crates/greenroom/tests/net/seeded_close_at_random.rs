//! Files closed at random, by whoever has their number, while others wait for them and the numbers
//! go to other files.
//!
//! Every byte on the way carries the tag of its file and its place. So it shows if anybody hears,
//! or says, what was meant for another.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    io::{self, ErrorKind, Read, Write},
    net as std_net,
    os::{
        fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::net as std_unix,
    },
    rc::Rc,
};

use greenroom::{
    JoinHandle,
    hub::{self, Backend},
    io::{GreenFd, Interest, is_closed, trampoline},
    net::{TcpStream, UnixStream},
};
use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::{
    child,
    pattern::{Random, seeds},
    raw::{self, Loose},
    stage::{PATIENCE, joined, on_backend, spawn_named},
};

/// Connections that are open at the same time.
const PAIRS: usize = 10;

/// Closed connections in a run.
const CLOSES: usize = 120;

/// One unit of what is said: the file's tag, and a number counting up.
const RECORD: usize = 16;

/// One end of a connection, as all who use it know it.
struct End {
    number: RawFd,
    /// What whoever closes a file tells those who use it, as a `socket` object of a scripting
    /// language would. Looked at before each call; what happens during one is the hub's matter.
    closed: Cell<bool>,
    /// Its sockets close by themselves when nobody uses them any more.
    owned: bool,
    says: u64,
    hears: u64,
}

/// How an end is read and written.
trait Port {
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize>;
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// A green socket, or a green fd.
struct Green<S>(Rc<S>);

impl<S> Port for Green<S>
where
    for<'a> &'a S: Read + Write,
{
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }
}

/// A non-blocking fd and `trampoline`.
struct Bare(Rc<End>);

impl Bare {
    fn when_ready(
        &self,
        interest: Interest,
        mut call: impl FnMut(Loose) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match call(Loose(self.0.number)) {
                Err(rustix::io::Errno::AGAIN) => {
                    trampoline(Loose(self.0.number), interest, None)?;
                }
                outcome => return Ok(outcome?),
            }
        }
    }
}

impl Port for Bare {
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Interest::Read, |fd| rustix::io::read(fd, &mut *bytes))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(Interest::Write, |fd| rustix::io::write(fd, bytes))
    }
}

/// How a reader or writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ending {
    /// It looked, and its file was closed.
    Looked,
    /// The hub told it.
    Told,
    /// The other end was gone.
    Gone,
}

fn ending(error: &io::Error) -> Ending {
    match error.kind() {
        _ if is_closed(error) => Ending::Told,
        ErrorKind::NotConnected => Ending::Looked,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Ending::Gone,
        kind => panic!("{kind:?}: {error}"),
    }
}

/// Says records until the file is closed.
fn say(end: &End, port: &dyn Port, mut random: Random) -> Ending {
    let mut unsaid = Vec::new();
    let mut next = 0u64;
    loop {
        if end.closed.get() {
            return Ending::Looked;
        }
        if unsaid.is_empty() {
            for _ in 0..1 + random.below(60) {
                unsaid.extend_from_slice(&end.says.to_le_bytes());
                unsaid.extend_from_slice(&next.to_le_bytes());
                next += 1;
            }
        }
        match port.write(&unsaid) {
            Ok(count) => drop(unsaid.drain(..count)),
            Err(error) => return ending(&error),
        }
        if random.below(4) == 0 {
            greenroom::yield_now();
        }
    }
}

/// Hears records until the file is closed.
fn hear(end: &End, port: &dyn Port, mut random: Random) -> Ending {
    let mut heard = Vec::new();
    let mut next = 0u64;
    let mut bytes = [0; 700];
    loop {
        if end.closed.get() {
            return Ending::Looked;
        }
        match port.read(&mut bytes[..1 + random.below(699)]) {
            Ok(0) => return Ending::Gone,
            Ok(count) => heard.extend_from_slice(&bytes[..count]),
            Err(error) => return ending(&error),
        }
        let whole = heard.len() - heard.len() % RECORD;
        for record in heard[..whole].chunks_exact(RECORD) {
            let tag = u64::from_le_bytes(record[..8].try_into().unwrap());
            let number = u64::from_le_bytes(record[8..].try_into().unwrap());
            assert_eq!((tag, number), (end.hears, next), "meant for another file");
            next += 1;
        }
        heard.drain(..whole);
        if random.below(4) == 0 {
            greenroom::yield_now();
        }
    }
}

/// What ties the run together.
struct World {
    random: Random,
    listener: std_net::TcpListener,
    tag: u64,
    threads: Vec<JoinHandle<Ending>>,
    /// Numbers that were closed once, and how many got another file.
    used: HashSet<RawFd>,
    reused: usize,
}

type Pair = [Rc<End>; 2];

impl World {
    fn new(seed: u64) -> World {
        World {
            random: Random::new(seed),
            listener: std_net::TcpListener::bind("127.0.0.1:0").unwrap(),
            tag: 0,
            threads: Vec::new(),
            used: HashSet::new(),
            reused: 0,
        }
    }

    fn chance(&mut self) -> Random {
        Random::new(self.random.next())
    }

    fn tcp(&self) -> [std_net::TcpStream; 2] {
        let here = std_net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let there = self.listener.accept().unwrap().0;
        [here, there]
    }

    /// A new connection, with a reader and a writer at each end.
    fn open(&mut self) -> Pair {
        self.tag += 2;
        let tags = [(self.tag, self.tag + 1), (self.tag + 1, self.tag)];
        let is_tcp = self.random.below(2) == 0;
        let kind = self.random.below(4);
        let files: [OwnedFd; 2] = if is_tcp {
            self.tcp().map(OwnedFd::from)
        } else {
            std_unix::UnixStream::pair().map(|(a, b)| [a.into(), b.into()]).unwrap()
        };
        let mut tags = tags.into_iter();
        files.map(|file| {
            set_socket_send_buffer_size(&file, 4096).unwrap();
            rustix::io::ioctl_fionbio(&file, true).unwrap();
            let number = file.as_raw_fd();
            self.reused += usize::from(self.used.contains(&number));
            let (says, hears) = tags.next().unwrap();
            let owned = kind < 2;
            let end = Rc::new(End { number, closed: Cell::new(false), owned, says, hears });
            let ports = ports(file, &end, is_tcp, kind);
            self.employ(&end, ports);
            end
        })
    }

    fn employ(&mut self, end: &Rc<End>, [writing, reading]: [Box<dyn Port>; 2]) {
        let (writer, chance) = (Rc::clone(end), self.chance());
        let name = format!("writer {}", end.says);
        self.threads.push(spawn_named(&name, move || say(&writer, &*writing, chance)));
        let (reader, chance) = (Rc::clone(end), self.chance());
        let name = format!("reader {}", end.hears);
        self.threads.push(spawn_named(&name, move || hear(&reader, &*reading, chance)));
    }

    /// Closes one end, in one of the ways there are. One of them opens another connection before
    /// the hub is told, which then mostly has the number.
    fn close(&mut self, end: &End) -> Option<Pair> {
        end.closed.set(true);
        self.used.insert(end.number);
        if end.owned {
            hub::notify_close(end.number);
            return None;
        }
        match self.random.below(3) {
            0 => {
                hub::notify_close(end.number);
                raw::close(end.number);
                None
            }
            1 => {
                raw::close(end.number);
                hub::notify_close(end.number);
                None
            }
            _ => {
                raw::close(end.number);
                let opened = self.open();
                hub::notify_reopened(end.number);
                Some(opened)
            }
        }
    }

    /// Closes a connection and opens another.
    fn renew(&mut self, pair: Pair) -> Pair {
        let first = self.random.below(2);
        let opened = self.close(&pair[first]);
        for _ in 0..self.random.below(4) {
            greenroom::yield_now();
        }
        let opened_too = self.close(&pair[1 - first]);
        let pairs = [opened, opened_too];
        let mut pairs = pairs.into_iter().flatten();
        let next = pairs.next().unwrap_or_else(|| self.open());
        // One too many: it goes the simplest way.
        for end in pairs.flatten() {
            end.closed.set(true);
            hub::notify_close(end.number);
            if !end.owned {
                raw::close(end.number);
            }
        }
        next
    }
}

/// Two ways into one end, for its writer and its reader.
fn ports(file: OwnedFd, end: &Rc<End>, is_tcp: bool, kind: usize) -> [Box<dyn Port>; 2] {
    fn shared<S>(socket: S) -> [Box<dyn Port>; 2]
    where
        S: 'static,
        for<'a> &'a S: Read + Write,
    {
        let socket = Rc::new(socket);
        [Box::new(Green(Rc::clone(&socket))), Box::new(Green(socket))]
    }
    fn green<F: AsFd + 'static>(fd: F) -> Box<dyn Port> {
        Box::new(Green(Rc::new(GreenFd::new(fd).unwrap())))
    }
    match kind {
        0 if is_tcp => shared(TcpStream::try_from(file).unwrap()),
        0 => shared(UnixStream::try_from(file).unwrap()),
        1 => shared(GreenFd::new(file).unwrap()),
        // Two green fds for one number, each with a place of its own in the hub's books.
        2 => {
            let number = file.into_raw_fd();
            [green(Loose(number)), green(Loose(number))]
        }
        _ => {
            let _now_loose = file.into_raw_fd();
            [Box::new(Bare(Rc::clone(end))), Box::new(Bare(Rc::clone(end)))]
        }
    }
}

/// How many fds this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn run(seed: u64) -> (HashMap<Ending, usize>, usize) {
    hub::stats();
    let mut world = World::new(seed);
    let files = open_files();
    let mut pairs: Vec<_> = (0..PAIRS).map(|_| world.open()).collect();
    for _ in 0..CLOSES {
        for _ in 0..world.random.below(8) {
            greenroom::yield_now();
        }
        let chosen = world.random.below(PAIRS);
        let pair = pairs.swap_remove(chosen);
        let next = world.renew(pair);
        pairs.push(next);
    }
    for end in pairs.into_iter().flatten() {
        let opened = world.close(&end);
        for end in opened.into_iter().flatten() {
            end.closed.set(true);
            hub::notify_close(end.number);
            if !end.owned {
                raw::close(end.number);
            }
        }
    }
    let mut endings = HashMap::new();
    for thread in world.threads.drain(..) {
        *endings.entry(joined(thread)).or_default() += 1;
    }
    assert_eq!(hub::stats().listeners, 0, "somebody is still waited for");
    assert_eq!(open_files(), files, "files were left open, or closed twice");
    (endings, world.reused)
}

/// Names the seed of a run that panics.
struct ToldIfItFails(u64);

impl Drop for ToldIfItFails {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

#[test]
fn closing_at_random_confuses_nobody() {
    const TEST: &str = "seeded_close_at_random::closing_at_random_confuses_nobody";
    // A process of its own: others that open files would get into the way of the numbers.
    child::play_if_child(|| {
        for backend in Backend::ALL {
            let total = std::sync::Arc::new(std::sync::Mutex::new((HashMap::new(), 0)));
            for seed in seeds(6) {
                let sum = std::sync::Arc::clone(&total);
                let _told = ToldIfItFails(seed);
                on_backend(backend, move || {
                    hub::get();
                    let (endings, reused) = run(seed);
                    let mut sum = sum.lock().unwrap();
                    for (ending, count) in endings {
                        *sum.0.entry(ending).or_insert(0) += count;
                    }
                    sum.1 += reused;
                });
            }
            let (endings, reused) = &*total.lock().unwrap();
            println!("on {backend}: {endings:?}, numbers used again: {reused}");
            for ending in [Ending::Looked, Ending::Told, Ending::Gone] {
                assert!(endings.contains_key(&ending), "nobody ended as {ending:?}: {endings:?}");
            }
            assert!(*reused > 0, "no number was used again");
        }
    });
    child::start(TEST).finished(PATIENCE * u32::try_from(seeds(1).end).unwrap());
}
