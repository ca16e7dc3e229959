//! What belongs to the OS thread and must be another's while a green thread waits in foreign code, or the root
//! anywhere.
//!
//! Knows nothing of what it is. The waits themselves are in `thread/park.rs`.

use std::{any::Any, sync::OnceLock};

static EXCHANGE: OnceLock<&'static dyn Exchange> = OnceLock::new();

/// Takes something of the OS thread's away before a wait in foreign code, or any wait of the root, lets others run,
/// and puts it back after it.
///
/// It is called on the OS thread of the wait, in the very wait: it may neither wait nor unwind.
pub trait Exchange: Sync {
    /// Takes it away, if there is anything to take.
    fn take_away(&self) -> Option<Box<dyn Any>>;

    /// Puts back what was taken away before the same wait.
    fn put_back(&self, taken: Box<dyn Any>);
}

/// Has `exchange` called around each wait in foreign code and each of a root, on every hub of the process.
///
/// # Errors
///
/// `exchange` itself, if there is one already.
pub fn set_exchange(exchange: &'static dyn Exchange) -> Result<(), &'static dyn Exchange> {
    EXCHANGE.set(exchange)
}

/// What is away, until this is dropped.
pub(crate) struct Away(Option<(&'static dyn Exchange, Box<dyn Any>)>);

impl Away {
    pub(crate) fn take() -> Away {
        let exchange = EXCHANGE.get().copied();
        Away(exchange.and_then(|exchange| Some((exchange, exchange.take_away()?))))
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some((exchange, taken)) = self.0.take() {
            exchange.put_back(taken);
        }
    }
}
