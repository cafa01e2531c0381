//! What waits for threads when it is dropped, inside objects that the interpreter drops.

use pyo3::prelude::*;

/// Drops its content with the interpreter free: a running job or a held lock waits for its threads then, and these
/// may be inside a backend in Python, or on their way to it.
pub struct Apart<T: Send>(Option<T>);

impl<T: Send> Apart<T> {
    /// Holds `content`.
    pub fn new(content: T) -> Self {
        Self(Some(content))
    }
}

impl<T: Send> std::ops::Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only a drop takes it")
    }
}

impl<T: Send> Drop for Apart<T> {
    fn drop(&mut self) {
        let content = self.0.take();
        // While the interpreter ends, nobody in Python is called any more, and dropping needs no care.
        let _ = Python::try_attach(|py| py.detach(|| drop(content)));
    }
}
