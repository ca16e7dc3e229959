//! corosensei alone: stacks that are kept, and the switch. The floor under every stackful engine.
//!
//! Must never grow a scheduler: what it cannot do without one, it leaves out.

use ::corosensei::stack::DefaultStack;
use ::corosensei::{Coroutine, CoroutineResult};

use super::{Engine, arrive, check_joined};
use crate::Fallible;

const STACK_BYTES: usize = 64 * 1024;

type Fiber<T> = Coroutine<(), (), T, DefaultStack>;

struct Corosensei {
    /// Stacks of coroutines that ended, to be used again.
    stacks: Vec<DefaultStack>,
    parked: Vec<Fiber<()>>,
}

pub(super) fn make() -> Fallible<Box<dyn Engine>> {
    Ok(Box::new(Corosensei { stacks: Vec::new(), parked: Vec::new() }))
}

impl Corosensei {
    fn stack(&mut self) -> Fallible<DefaultStack> {
        match self.stacks.pop() {
            Some(stack) => Ok(stack),
            None => Ok(DefaultStack::new(STACK_BYTES)?),
        }
    }

    fn spawn<T: 'static>(&mut self, body: impl FnOnce() -> T + 'static) -> Fallible<Fiber<T>> {
        Ok(Coroutine::with_stack(self.stack()?, move |_, ()| body()))
    }

    /// Runs a coroutine that never suspends, and takes its stack back.
    fn join<T>(&mut self, mut fiber: Fiber<T>) -> Fallible<T> {
        match fiber.resume(()) {
            CoroutineResult::Return(value) => {
                self.stacks.push(fiber.into_stack());
                Ok(value)
            }
            CoroutineResult::Yield(()) => Err("a coroutine suspended instead of ending".into()),
        }
    }
}

impl Engine for Corosensei {
    fn yields(&mut self, tasks: u64, yields_each: u64) -> Fallible {
        let mut fibers = Vec::new();
        for _ in 0..tasks {
            fibers.push(Fiber::with_stack(self.stack()?, move |yielder, ()| {
                (0..yields_each).for_each(|_| yielder.suspend(()));
            }));
        }
        for _ in 0..=yields_each {
            for fiber in &mut fibers {
                fiber.resume(());
            }
        }
        self.stacks.extend(fibers.into_iter().map(Fiber::into_stack));
        Ok(())
    }

    fn spawn_join(&mut self, count: u64) -> Fallible {
        let mut sum = 0;
        for task in 0..count {
            let fiber = self.spawn(move || task)?;
            sum += self.join(fiber)?;
        }
        check_joined(count, sum)
    }

    fn spawn_many(&mut self, count: u64) -> Fallible {
        let fibers =
            (0..count).map(|task| self.spawn(move || task)).collect::<Fallible<Vec<_>>>()?;
        let mut sum = 0;
        for fiber in fibers {
            sum += self.join(fiber)?;
        }
        check_joined(count, sum)
    }

    /// There is nothing to sleep on: a task parks by suspending and never being resumed.
    fn park(&mut self, count: u64) -> Fallible {
        for _ in 0..count {
            let mut fiber = Fiber::with_stack(self.stack()?, |yielder, ()| {
                arrive();
                yielder.suspend(());
            });
            fiber.resume(());
            self.parked.push(fiber);
        }
        Ok(())
    }
}
