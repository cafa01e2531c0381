//! Makes an empty repository in the folder given as the first argument, with the password given as the second and a
//! key derivation that costs a millisecond: what `tests/data/cheap-repository` was made with. Tests that open a
//! repository a thousand times start from there; nothing else may, because such a key protects nothing.

use std::path::PathBuf;
use std::sync::Arc;

use obhut_core::accounts::SystemAccounts;
use obhut_core::error::{Code, Error, Result};
use obhut_core::keyfile::ScryptParams;
use obhut_core::repo::Repository;
use obhut_core::repo::open::{OpenOptions, Ports};
use obhut_core::store::local::LocalStore;
use obhut_core::world::{SystemClock, SystemRandom};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        let missing = || {
            Error::new(
                Code::InvalidArgument,
                "arguments",
                "expected a folder and a password",
            )
        };
        arguments.next().ok_or_else(missing)
    };
    let (place, password) = (next()?, next()?);
    let ports = Ports {
        store: Arc::new(LocalStore::new(PathBuf::from(place))),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        accounts: Arc::new(SystemAccounts),
    };
    let cost = ScryptParams {
        n: 1 << 10,
        r: 8,
        p: 1,
    };
    let options = OpenOptions::default();
    Repository::init(ports, password.as_bytes(), 2, None, cost, &options).map(drop)
}
