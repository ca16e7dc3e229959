//! The guests, one file for each.

#![deny(unsafe_code)]

use greenroom_patch as _;

mod built;
mod lettre;
mod mysql;
mod not_green;
mod postgres;
mod r2d2;
mod redis;
mod rusqlite;
mod std_net;
mod std_process;
mod tokio;
mod tungstenite;
mod ureq;

#[cfg(feature = "curl")]
mod curl;
#[cfg(feature = "libpq")]
mod libpq;
#[cfg(feature = "openssl")]
mod native_tls;
