//! Several hubs send work to each other at random, kill some of it and end: every sender hears how
//! each piece ended.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use greenroom::{hub, spawn, yield_now};

use crate::{dice::Dice, seeds::with_seeds};

const HUBS: usize = 3;
const PIECES: usize = 40;

#[test]
fn seeded_work_sent_between_hubs_is_accounted_for() {
    with_seeds(20, |seed| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let begun = Arc::new(AtomicUsize::new(0));
        let ready = Arc::new(Barrier::new(HUBS + 1));
        let all_sent = Arc::new(Barrier::new(HUBS));
        let (deal, cards): (Vec<_>, Vec<_>) =
            (0..HUBS).map(|_| std::sync::mpsc::channel::<Vec<hub::Remote>>()).unzip();
        let os_threads: Vec<_> = cards
            .into_iter()
            .enumerate()
            .map(|(number, cards)| {
                let (sender, begun) = (sender.clone(), Arc::clone(&begun));
                let (ready, all_sent) = (Arc::clone(&ready), Arc::clone(&all_sent));
                thread::spawn(move || {
                    sender.send((number, hub::remote())).unwrap();
                    ready.wait();
                    let remotes = cards.recv().unwrap();
                    let dice = Dice::from_seed(seed * 31 + number as u64);
                    let pieces: Vec<_> = (0..PIECES)
                        .map(|_| {
                            let remote = &remotes[dice.below(HUBS)];
                            let (yields, begun) = (dice.below(5), Arc::clone(&begun));
                            let piece = remote.spawn(move || {
                                begun.fetch_add(1, Ordering::Relaxed);
                                (0..yields).for_each(|_| yield_now());
                                yields
                            });
                            let piece = piece.unwrap();
                            let killed = dice.below(4) == 0;
                            if killed {
                                piece.kill().unwrap();
                            }
                            if dice.below(3) == 0 {
                                yield_now();
                            }
                            (piece, yields, killed)
                        })
                        .collect();
                    let mut ended = 0;
                    for (piece, yields, killed) in pieces {
                        match piece.join() {
                            Ok(value) => assert_eq!(value, yields),
                            Err(error) => assert!(killed && error.is_killed(), "{error}"),
                        }
                        ended += 1;
                    }
                    // Serves the others until they have ended too.
                    spawn(move || greenroom::offload(move || all_sent.wait().is_leader()))
                        .join()
                        .unwrap();
                    ended
                })
            })
            .collect();
        let mut remotes: Vec<_> = receiver.iter().take(HUBS).collect();
        remotes.sort_by_key(|(number, _)| *number);
        let remotes: Vec<_> = remotes.into_iter().map(|(_, remote)| remote).collect();
        ready.wait();
        for hand in &deal {
            hand.send(remotes.clone()).unwrap();
        }
        drop(remotes);
        let ended: usize = os_threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(ended, HUBS * PIECES);
        assert!(begun.load(Ordering::Relaxed) <= ended);
    });
}
