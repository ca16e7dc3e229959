//! Fetches pages with `ureq`, all at once on one OS thread: what is ordinary blocking code but for the `use` line.
//!
//! ```text
//! cargo run --release --example pages -- http://127.0.0.1:8000/ http://127.0.0.1:8000/other
//! ```
//!
//! `pages_before` is the same program without that line: there each page waits for the one before.

#![deny(unsafe_code)]

use greenroom_patch as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fetch = |url: String| ureq::get(&url).call()?.body_mut().read_to_string();
    let pages: Vec<_> =
        std::env::args().skip(1).map(|url| greenroom::spawn(move || fetch(url))).collect();
    for page in pages {
        println!("{} bytes", page.join()??.len());
    }
    Ok(())
}
