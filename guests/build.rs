//! Builds the C client of libpq, and links the library, if the feature asks for it.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/libpq.c");
    if env::var_os("CARGO_FEATURE_LIBPQ").is_some() {
        cc::Build::new()
            .file("src/libpq.c")
            .include("/usr/include/postgresql")
            .warnings_into_errors(true)
            .compile("greenroom_guests_libpq");
        println!("cargo::rustc-link-lib=pq");
    }
}
