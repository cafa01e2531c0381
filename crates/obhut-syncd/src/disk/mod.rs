//! The disk: everything below the root of a folder, through a handle on it. Plain calls that block; whoever calls has threads.
//!
//! # Names
//!
//! A name that came from another device never reaches a call that follows links: its directory is opened by `openat2` below
//! the root's handle, without links; what is done then is done to the last part of the name, in that directory, and does not
//! follow a link there either ([`Root`]).
//!
//! # What is changed
//!
//! [`Root::apply`] is the one place that replaces and removes. Nothing goes unless it is what was expected; what was not
//! expected lies beside its place afterwards. Beside it, [`Root::prepare`] and [`Root::write`] make temporary files, and
//! [`Root::prune`] removes versions that are too many.
//!
//! # Temporary files
//!
//! They are ours alone as long as they have the mark: the sticky bit, which says nothing of a regular file. Before one gets its
//! name it loses the mark with its mode. So a temporary name without it is what a stop in the midst of an exchange left,
//! somebody's content perhaps: it is never written to or removed, but moved to the versions ([`Root::sweep`]).
//!
//! # Lasting
//!
//! A group's files last before they have their names, and the names before it is said that they are there. A sync that
//! failed is not tried again: nobody knows what was not written. Its group has failed, and its temporary files go.

mod act;
mod apply;
mod facts;
mod gather;
mod hash;
mod lasting;
mod marker;
mod names;
mod root;
mod serve;
mod stow;
mod take;
mod temporary;
mod versions;
mod walk;
mod watch;

pub use apply::Moment;
pub use gather::Wanted;
pub use root::Root;
pub use serve::Asked;
pub use versions::Version;
pub use walk::Walked;
pub use watch::{Batch, Limit, Watch};

#[cfg(test)]
mod tests {
    #[test]
    fn threads_may_have_it() {
        fn sent<T: Send + 'static>() {}
        fn shared<T: Send + Sync + 'static>() {}
        shared::<super::Root>();
        sent::<super::Watch>();
    }
}
