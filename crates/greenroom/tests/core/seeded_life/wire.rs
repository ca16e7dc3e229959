//! A connection whose reading end may be reopened at any time, as another file with its number.
//!
//! Counts what goes in and comes out. Never waits.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use greenroom::hub;

use crate::number::Number;

pub(super) struct Wire {
    /// The end that is read, always with the same number.
    fd: RefCell<OwnedFd>,
    reading: RefCell<UnixStream>,
    writing: RefCell<UnixStream>,
    generation: Cell<u32>,
    sent: Cell<usize>,
    received: Cell<usize>,
    /// Bytes on their way when the wire was reopened.
    lost: Cell<usize>,
    waiting: Cell<usize>,
    /// How many waiters the hub said it told of another file, or of none, and how many heard it.
    told: Cell<usize>,
    heard: Cell<usize>,
    /// How many more may have heard it: they had been woken by then, and had not run yet.
    woken: Cell<usize>,
}

impl Wire {
    pub(super) fn open() -> Wire {
        let (reading, writing) = pair();
        Wire {
            fd: RefCell::new(reading.try_clone().unwrap().into()),
            reading: RefCell::new(reading),
            writing: RefCell::new(writing),
            generation: Cell::new(0),
            sent: Cell::new(0),
            received: Cell::new(0),
            lost: Cell::new(0),
            waiting: Cell::new(0),
            told: Cell::new(0),
            heard: Cell::new(0),
            woken: Cell::new(0),
        }
    }

    /// The reading end as a foreign library would know it.
    pub(super) fn number(&self) -> Number {
        Number(self.raw_fd())
    }

    fn raw_fd(&self) -> RawFd {
        self.fd.borrow().as_raw_fd()
    }

    /// Which file the number means.
    pub(super) fn generation(&self) -> u32 {
        self.generation.get()
    }

    pub(super) fn send(&self, bytes: usize) {
        match self.writing.borrow_mut().write(&vec![7; bytes]) {
            Ok(count) => self.sent.set(self.sent.get() + count),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    /// Reads up to `bytes`; how many were there.
    pub(super) fn receive(&self, bytes: usize) -> usize {
        match self.reading.borrow_mut().read(&mut vec![0; bytes]) {
            Ok(count) => {
                self.received.set(self.received.get() + count);
                count
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                0
            }
        }
    }

    pub(super) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&*self.reading.borrow()).unwrap()
    }

    /// Makes the number mean a new file, and says so.
    pub(super) fn reopen(&self) {
        self.lose_what_is_on_its_way();
        let (reading, writing) = pair();
        rustix::io::dup2(&reading, &mut self.fd.borrow_mut()).unwrap();
        self.reading.replace(reading);
        self.writing.replace(writing);
        self.generation.set(self.generation.get() + 1);
        let told = hub::notify_reopened(self.raw_fd());
        self.told.set(self.told.get() + told);
        self.woken.set(self.woken.get() + self.waiting());
    }

    /// Ends every wait, without a new file.
    pub(super) fn hang_up(&self) {
        self.lose_what_is_on_its_way();
        let told = hub::notify_close(self.raw_fd());
        self.told.set(self.told.get() + told);
        self.woken.set(self.woken.get() + self.waiting());
    }

    fn lose_what_is_on_its_way(&self) {
        let lost = usize::try_from(self.unread()).unwrap();
        self.lost.set(self.lost.get() + lost);
        let mut rest = vec![0; lost];
        self.reading.borrow_mut().read_exact(&mut rest).unwrap();
    }

    /// Somebody waits for this wire, for as long as this lives.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waits(self)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Somebody heard that the wire was reopened or closed.
    pub(super) fn hear(&self) {
        self.heard.set(self.heard.get() + 1);
    }

    #[track_caller]
    pub(super) fn check_end(&self, aborted: bool) {
        assert_eq!(self.waiting(), 0, "somebody waits for a wire that is closed");
        let accounted = self.received.get() + self.lost.get() + self.unread() as usize;
        assert_eq!(self.sent.get(), accounted, "bytes in, bytes out");
        // Who is killed hears nothing any more.
        let (told, heard) = (self.told.get(), self.heard.get());
        assert!(heard >= told || aborted, "{told} were told, {heard} heard");
        let most = told + self.woken.get();
        assert!(heard <= most, "{told} were told, {most} at most could hear, {heard} heard");
    }
}

pub(super) struct Waits<'a>(&'a Wire);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

fn pair() -> (UnixStream, UnixStream) {
    let (reading, writing) = UnixStream::pair().unwrap();
    reading.set_nonblocking(true).unwrap();
    writing.set_nonblocking(true).unwrap();
    (reading, writing)
}
