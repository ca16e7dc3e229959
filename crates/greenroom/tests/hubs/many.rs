//! One hub for each core.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::SocketAddr,
    panic::catch_unwind,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use greenroom::{
    hub, hubs,
    net::{TcpListener, TcpStream, serve},
    spawn,
    sync::shared::Event,
    testing, yield_now,
};

#[test]
fn each_runs_on_an_os_thread_and_a_hub_of_its_own() {
    let ids = hubs::run(4, |number| {
        assert_eq!(hub::stats().threads_peak, 0, "somebody else used this hub");
        spawn(yield_now).join().unwrap();
        assert_eq!(thread::current().name(), Some(format!("hub-{number}").as_str()));
        (number, format!("{:?}", thread::current().id()))
    });
    assert_eq!(ids.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let os_threads: BTreeSet<_> = ids.into_iter().map(|(_, id)| id).collect();
    assert_eq!(os_threads.len(), 4);
}

#[test]
fn a_panic_comes_out_when_all_have_ended() {
    let ended = AtomicUsize::new(0);
    let panic = catch_unwind(|| {
        hubs::run(3, |number| {
            assert!(number != 1, "the second");
            ended.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the second"));
    assert_eq!(ended.load(Ordering::Relaxed), 2);
}

#[test]
fn the_callers_other_green_threads_go_on_meanwhile() {
    testing::run(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let helper = spawn(move || {
            for _ in 0..10 {
                yield_now();
            }
            sender.send(()).unwrap();
        });
        // Ends only when the green thread has been run.
        let receiver = Mutex::new(receiver);
        hubs::run(1, |_| receiver.lock().unwrap().recv().unwrap());
        helper.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "no hubs at all")]
fn none_at_all_is_refused() {
    hubs::run(0, |_| ());
}

#[test]
fn a_port_is_shared_and_every_connection_is_served_by_one() {
    const CONNECTIONS: usize = 64;
    let left = Arc::new(AtomicUsize::new(CONNECTIONS));
    let all_served = Arc::new(Event::new());
    let address = Mutex::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (first_listens, both_listen) = (Barrier::new(3), Barrier::new(3));
    let served = hubs::run(3, |number| {
        if number > 0 {
            first_listens.wait();
        }
        let at = *address.lock().unwrap();
        if number == 2 {
            // The one that calls.
            both_listen.wait();
            let calls: Vec<_> = (0..CONNECTIONS)
                .map(|n| {
                    spawn(move || {
                        let mut stream = TcpStream::connect(at).unwrap();
                        stream.write_all(&[n as u8]).unwrap();
                        let mut echoed = [0];
                        stream.read_exact(&mut echoed).unwrap();
                        assert_eq!(echoed, [n as u8]);
                    })
                })
                .collect();
            calls.into_iter().for_each(|call| call.join().unwrap());
            return 0;
        }
        let listener = TcpListener::bind_reuse_port(at).unwrap();
        if number == 0 {
            *address.lock().unwrap() = listener.local_addr().unwrap();
            first_listens.wait();
        }
        both_listen.wait();
        let count = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = std::rc::Rc::clone(&count);
        let (left, last) = (Arc::clone(&left), Arc::clone(&all_served));
        let server = serve(listener, 1000, move |mut stream: TcpStream, _| {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
            counted.set(counted.get() + 1);
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                last.send(()).unwrap();
            }
        });
        all_served.wait();
        server.stop().unwrap();
        count.get()
    });
    assert_eq!(served.iter().sum::<usize>(), CONNECTIONS, "{served:?}");
}
