//! Guests that this build has not, because a library of the system was not there.

#![cfg(not(all(feature = "curl", feature = "libpq", feature = "openssl")))]

use greenroom_guests::{Missing, skip};

#[cfg(not(feature = "curl"))]
#[test]
fn curl_is_skipped_in_plain_sight() {
    skip("curl", &Missing { what: "libcurl.pc", package: "libcurl4-openssl-dev" });
}

#[cfg(not(feature = "libpq"))]
#[test]
fn libpq_is_skipped_in_plain_sight() {
    skip("libpq", &Missing { what: "libpq.pc", package: "libpq-dev" });
}

#[cfg(not(feature = "openssl"))]
#[test]
fn native_tls_is_skipped_in_plain_sight() {
    skip("native-tls", &Missing { what: "openssl.pc", package: "libssl-dev" });
}
