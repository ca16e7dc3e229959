//! Names a crate that names the patch.

use middle as _;

mod bound;

fn main() {
    bound::main();
}
