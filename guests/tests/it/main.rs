//! The guests, one file for each.

#![deny(unsafe_code)]

use greenroom_patch as _;

mod redis;
mod std_net;
mod ureq;
