//! Fetches pages with `ureq`, one after the other: `pages` without its `use` line.
//!
//! ```text
//! cargo run --release --example pages_before -- http://127.0.0.1:8000/ http://127.0.0.1:8000/other
//! ```

#![deny(unsafe_code)]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fetch = |url: String| ureq::get(&url).call()?.body_mut().read_to_string();
    let pages: Vec<_> =
        std::env::args().skip(1).map(|url| greenroom::spawn(move || fetch(url))).collect();
    for page in pages {
        println!("{} bytes", page.join()??.len());
    }
    Ok(())
}
