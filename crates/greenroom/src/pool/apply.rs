//! Functions of several arguments that are called with a tuple of them.
//!
//! Knows no pool and no thread.

/// A function that can be called with its arguments in a tuple: any of one to six arguments.
///
/// What [`GreenPool::starmap`](crate::pool::GreenPool::starmap) takes. Nobody else can implement it.
pub trait Apply<Arguments>: sealed::Sealed<Arguments> {
    /// What the function returns.
    type Output;

    /// Calls the function.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::Apply;
    ///
    /// assert_eq!(u32::pow.apply((2, 5)), 32);
    /// ```
    fn apply(&self, arguments: Arguments) -> Self::Output;
}

mod sealed {
    pub trait Sealed<Arguments> {}
}

macro_rules! apply {
    ($($Type:ident $name:ident),+) => {
        impl<F, R, $($Type),+> sealed::Sealed<($($Type,)+)> for F where F: Fn($($Type),+) -> R {}

        impl<F, R, $($Type),+> Apply<($($Type,)+)> for F
        where
            F: Fn($($Type),+) -> R,
        {
            type Output = R;

            fn apply(&self, ($($name,)+): ($($Type,)+)) -> R {
                self($($name),+)
            }
        }
    };
}

apply!(A a);
apply!(A a, B b);
apply!(A a, B b, C c);
apply!(A a, B b, C c, D d);
apply!(A a, B b, C c, D d, E e);
apply!(A a, B b, C c, D d, E e, G g);
