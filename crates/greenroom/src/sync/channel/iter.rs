//! Receiving in a loop.
//!
//! Knows nothing but the receiver's calls, so it is written once for both kinds of channel: for one
//! hub, and for several.

/// The iterators of the `Receiver` in the module above the one that says this.
macro_rules! iterators {
    () => {
        use std::iter::FusedIterator;

        use super::Receiver;

        /// Takes items, waiting for each, until all senders are gone: [`Receiver::iter`].
        #[derive(Debug)]
        pub struct Iter<'a, T>(&'a Receiver<T>);

        /// Takes items as long as there are any: [`Receiver::try_iter`].
        #[derive(Debug)]
        pub struct TryIter<'a, T>(&'a Receiver<T>);

        /// [`Iter`] that owns its receiver.
        #[derive(Debug)]
        pub struct IntoIter<T>(Receiver<T>);

        impl<'a, T> Iter<'a, T> {
            pub(super) fn new(receiver: &'a Receiver<T>) -> Iter<'a, T> {
                Iter(receiver)
            }
        }

        impl<'a, T> TryIter<'a, T> {
            pub(super) fn new(receiver: &'a Receiver<T>) -> TryIter<'a, T> {
                TryIter(receiver)
            }
        }

        impl<T> Iterator for Iter<'_, T> {
            type Item = T;

            #[inline]
            fn next(&mut self) -> Option<T> {
                self.0.recv().ok()
            }
        }

        impl<T> Iterator for TryIter<'_, T> {
            type Item = T;

            #[inline]
            fn next(&mut self) -> Option<T> {
                self.0.try_recv().ok()
            }
        }

        impl<T> Iterator for IntoIter<T> {
            type Item = T;

            #[inline]
            fn next(&mut self) -> Option<T> {
                self.0.recv().ok()
            }
        }

        // Once all senders are gone none can come again.
        impl<T> FusedIterator for Iter<'_, T> {}
        impl<T> FusedIterator for IntoIter<T> {}

        impl<'a, T> IntoIterator for &'a Receiver<T> {
            type Item = T;
            type IntoIter = Iter<'a, T>;

            fn into_iter(self) -> Iter<'a, T> {
                self.iter()
            }
        }

        impl<T> IntoIterator for Receiver<T> {
            type Item = T;
            type IntoIter = IntoIter<T>;

            fn into_iter(self) -> IntoIter<T> {
                IntoIter(self)
            }
        }
    };
}

pub(in crate::sync) use iterators;

iterators!();
