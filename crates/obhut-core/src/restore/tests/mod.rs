//! Tests of the restore engine: on directories of the real file system, from repositories in memory.
#![allow(clippy::disallowed_methods)] // tests make files, links and trouble by hand

mod target;
