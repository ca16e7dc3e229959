//! Has the patch among its dependencies, and does not name it.

mod bound;

fn main() {
    bound::main();
}
