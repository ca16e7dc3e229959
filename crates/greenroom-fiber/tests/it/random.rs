//! Creating, resuming, suspending, cloning and dropping in random order, against a simple model.

use std::cell::Cell;
use std::rc::Rc;

use greenroom_fiber::{Fiber, Options, Output, Pool, PoolConfig, Progress, suspend};

/// A small generator: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

/// Counts what is alive inside of fibers.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Alive {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What the model knows of one fiber.
struct Modelled {
    output: Output<Cell<u64>, u64>,
    others: Vec<Fiber<Cell<u64>>>,
    resumes: u64,
    suspends: u64,
}

fn step(random: &mut Random, pool: &Pool, alive: &Rc<Cell<usize>>, fibers: &mut Vec<Modelled>) {
    let choice = random.below(10);
    if fibers.is_empty() || choice < 3 {
        let suspends = random.below(5);
        let frame = Alive::new(alive);
        let inner_alive = alive.clone();
        let nested = random.below(8) == 0;
        let pool_inside = pool.clone();
        let stack_size = 16 << (10 + random.below(4));
        let options = Options { id: suspends, stack_size, ..Options::default() };
        let body = move || {
            let _frame = frame;
            for round in 0..suspends {
                let _local = Alive::new(&inner_alive);
                if nested {
                    let alive = Alive::new(&inner_alive);
                    let body = move || {
                        suspend();
                        drop(alive);
                    };
                    let inner = Fiber::new(&pool_inside, Options::default(), (), body).unwrap();
                    for _ in 0..=round.min(1) {
                        inner.resume();
                    }
                }
                Fiber::<Cell<u64>>::with_current(|fiber| fiber.unwrap().set(round + 1));
                suspend();
            }
            suspends
        };
        let output = Fiber::new(pool, options, Cell::new(0), body).unwrap();
        fibers.push(Modelled { output, others: Vec::new(), resumes: 0, suspends });
        return;
    }
    let index = random.below(fibers.len() as u64) as usize;
    let fiber = &mut fibers[index];
    match choice {
        3..=6 if fiber.resumes <= fiber.suspends => {
            fiber.resumes += 1;
            let wanted = match fiber.resumes <= fiber.suspends {
                true => Progress::Suspended,
                false => Progress::Finished,
            };
            assert_eq!(fiber.output.resume(), wanted);
            assert_eq!(fiber.output.get(), fiber.resumes.min(fiber.suspends));
        }
        3..=6 => {
            if let Some(outcome) = fiber.output.take() {
                assert_eq!(outcome.unwrap(), fiber.suspends);
            }
            assert!(fiber.output.take().is_none());
        }
        7 => fiber.others.push(Fiber::clone(&fiber.output)),
        8 => drop(fiber.others.pop()),
        _ => drop(fibers.swap_remove(index)),
    }
}

#[test]
fn any_order_keeps_the_books() {
    for seed in 1..=20 {
        let alive = Rc::new(Cell::new(0));
        let config = PoolConfig { stacks_warm_max: 5, ..PoolConfig::default() };
        let pool = Pool::with_config(config);
        let run = || {
            let mut random = Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
            let mut fibers = Vec::new();
            for _ in 0..2000 {
                step(&mut random, &pool, &alive, &mut fibers);
                if random.below(50) == 0 {
                    pool.trim(random.below(4) as usize);
                }
                if random.below(50) == 0 {
                    pool.begin_period();
                }
                let fresh = fibers.iter().filter(|fiber| fiber.resumes == 0).count();
                let suspended = |fiber: &&Modelled| (1..=fiber.suspends).contains(&fiber.resumes);
                let stats = pool.stats();
                assert_eq!(stats.stacks_reserved, fresh);
                assert!(stats.stacks_idle >= fresh);
                assert!(stats.stacks_in_use >= fibers.iter().filter(suspended).count());
                assert!(stats.blocks_in_use >= fibers.len());
            }
        };
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            eprintln!("the seed was {seed}");
            std::panic::resume_unwind(panic);
        }
        let stats = pool.stats();
        let left = (alive.get(), stats.stacks_in_use, stats.stacks_reserved, stats.blocks_in_use);
        assert_eq!(left, (0, 0, 0, 0), "the seed was {seed}");
    }
}
