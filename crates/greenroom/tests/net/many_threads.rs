//! Many green threads at once on one hub.

use std::io::{Read, Write};

use greenroom::{
    net::{TcpListener, TcpStream, serve},
    spawn,
};

use crate::{
    pattern::{self, Random},
    stage::{echo, joined, on_each_backend, spawn_named},
};

const CLIENTS: u64 = 200;
const ROUNDS: usize = 10;

#[test]
fn many_clients_talk_with_one_server_and_each_hears_its_own_words() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, 10_000, |stream, _| assert!(echo(stream).is_ok()));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|seed| {
                spawn_named(&format!("client {seed}"), move || {
                    let mut random = Random::new(seed);
                    let mut stream = TcpStream::connect(address).unwrap();
                    for _ in 0..ROUNDS {
                        let said = pattern::bytes(random.next(), 1 + random.below(2000));
                        stream.write_all(&said).unwrap();
                        let mut heard = vec![0; said.len()];
                        stream.read_exact(&mut heard).unwrap();
                        assert!(heard == said, "heard something else");
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(joined);
        server.stop().unwrap();
    });
}

#[test]
fn connections_come_and_go_by_the_thousand() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, 50, |stream, _| assert!(echo(stream).is_ok()));
        let clients: Vec<_> = (0..20u8)
            .map(|n| {
                spawn(move || {
                    for round in 0..50u8 {
                        let mut stream = TcpStream::connect(address).unwrap();
                        stream.write_all(&[n, round]).unwrap();
                        let mut heard = [0; 2];
                        stream.read_exact(&mut heard).unwrap();
                        assert_eq!(heard, [n, round]);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(joined);
        server.stop().unwrap();
    });
}
