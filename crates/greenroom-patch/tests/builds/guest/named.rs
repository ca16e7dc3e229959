//! Names the patch.

use greenroom_patch as _;

mod bound;

fn main() {
    bound::main();
}
