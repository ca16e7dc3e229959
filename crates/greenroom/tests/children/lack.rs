//! A server that accepts nobody for want of something: it is told, once, and the server goes on trying.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use greenroom::{
    net::{Accept, TcpListener, TcpStream, serve},
    sleep, testing,
};

use crate::case::{Case, PLAIN};

/// A listener for whose connections there are no fds.
struct Lacking {
    listener: TcpListener,
    tries: Cell<u32>,
}

impl AsFd for Lacking {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Accept for Lacking {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.tries.set(self.tries.get() + 1);
        if self.tries.get() == 120 {
            eprintln!("the 120th try");
        }
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.listener.set_nonblocking(nonblocking)
    }
}

fn lack_for(time: Duration) {
    testing::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = serve(Lacking { listener, tries: Cell::new(0) }, 10, |_, _| ());
        sleep(time);
        eprintln!("and on it goes");
        let error = server.stop().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    });
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "lack::a_server_without_fds_for_a_second_says_so_once",
        play: || lack_for(Duration::from_secs(1000)),
        says: &[
            " has served nobody new for 1s: Too many open files (os error 24); it goes on trying. \
             Raise the limit, or serve fewer at once\n",
            "the 120th try",
            "and on it goes",
        ],
        ..PLAIN
    },
    Case {
        name: "lack::of_less_nothing_is_said",
        play: || lack_for(Duration::from_millis(900)),
        never_says: &["served nobody"],
        ..PLAIN
    },
];
