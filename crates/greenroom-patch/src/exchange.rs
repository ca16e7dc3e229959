//! What is its OS thread's and must be a green thread's own while that waits: registered with greenroom, which
//! has it taken away before a wait and put back after.
//!
//! Knows the kinds, and nothing of what they are.
//!
//! # Safety
//!
//! One function is named for the loader to call before `main`, and does no more than to store a pointer.

#![allow(unsafe_code)]
#![cfg(not(target_feature = "crt-static"))]

use std::any::Any;

use greenroom::foreign::{Exchange, set_exchange};

use crate::{context, exceptions};

/// Run by the loader, before `main`.
#[used]
// SAFETY: a function without arguments, as the loader calls those of this section.
#[unsafe(link_section = ".init_array")]
static REGISTER: extern "C" fn() = {
    extern "C" fn register() {
        // Somebody else's stays: a second patch in the same process does the same.
        let _ = set_exchange(&OfOsThread);
    }
    register
};

struct OfOsThread;

struct Taken {
    contexts: Option<context::Taken>,
    exceptions: Option<exceptions::Taken>,
}

impl Exchange for OfOsThread {
    fn take_away(&self) -> Option<Box<dyn Any>> {
        let taken = Taken { contexts: context::take(), exceptions: exceptions::take() };
        let is_any = taken.contexts.is_some() || taken.exceptions.is_some();
        is_any.then(|| Box::new(taken) as Box<dyn Any>)
    }

    fn put_back(&self, taken: Box<dyn Any>) {
        if let Ok(taken) = taken.downcast::<Taken>() {
            taken.contexts.into_iter().for_each(context::put_back);
            taken.exceptions.into_iter().for_each(exceptions::put_back);
        }
    }
}
