//! The disk: everything below the root of a folder, through a handle on it.
