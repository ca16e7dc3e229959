//! The guests, one file for each.

#![deny(unsafe_code)]

use greenroom_patch as _;

mod mysql;
mod redis;
mod std_net;
mod tungstenite;
mod ureq;

#[cfg(feature = "curl")]
mod curl;
#[cfg(feature = "libpq")]
mod libpq;
#[cfg(feature = "openssl")]
mod native_tls;
