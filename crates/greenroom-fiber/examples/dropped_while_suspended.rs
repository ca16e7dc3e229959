//! What happens to the frames of a fiber whose last handle is dropped.
//!
//! With `panic=unwind`, the default, its destructors run. With `panic=abort` there is no way to run
//! them, so the process aborts and says which fiber it was.
//!
//! `cargo run -p greenroom-fiber --example dropped_while_suspended`

use greenroom_fiber::{Fiber, Options, Pool, suspend};

struct Guest;

impl Drop for Guest {
    fn drop(&mut self) {
        println!("the guest has left");
    }
}

fn main() {
    let options = Options { id: 7, name: Some("host".into()), ..Options::default() };
    let fiber = Fiber::new(&Pool::new(), options, (), || {
        let _guest = Guest;
        suspend();
        println!("nobody resumes this fiber again");
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    println!("the stack is free");
}
