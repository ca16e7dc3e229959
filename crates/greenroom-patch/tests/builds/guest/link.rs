//! The build script: has the C code linked, from the folder that is the working directory.

use std::env;

fn main() {
    let folder = env::current_dir().unwrap();
    let folder = folder.to_str().unwrap();
    println!("cargo:rerun-if-changed=object.o");
    println!("cargo:rerun-if-changed=liblinked.so");
    println!("cargo:rustc-link-arg-bins={folder}/object.o");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if !features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo:rustc-link-arg-bins={folder}/liblinked.so");
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{folder}");
    }
}
