//! What can be asked of a folder without a running device: its versions, and what lines of an ignore file mean.

use std::path::Path;

use obhut_bep::DeviceId;
use obhut_core::error::{Code, Error, Result};
use obhut_core::world::SystemClock;
use obhut_sync::ignore::{Ignores, Verdict};
use obhut_sync::io::{Doubt, Failure, Outcome};
use obhut_sync::versions::untagged;
use serde_json::{Value, json};

use super::{config, now};
use crate::disk::Root;

/// Which names some lines ignore; files that they include are those of the folder.
pub fn ignored(root: &Path, lines: &[String], names: &[String]) -> Result<Vec<bool>> {
    let folder = open(root)?;
    let mut include = |name: &str| folder.include(name);
    let ignores = Ignores::parse(".stignore", &lines.join("\n"), &mut include)
        .map_err(|error| Error::new(Code::InvalidArgument, ".stignore", error.to_string()))?;
    Ok(names
        .iter()
        .map(|name| ignores.verdict(name) != Verdict::Shared)
        .collect())
}

/// The versions that a folder keeps: a JSON list.
pub fn versions(root: &Path) -> Result<String> {
    let found = open(root)?
        .versions(None)
        .map_err(|why| failed(root, why))?;
    let all: Vec<Value> = found
        .iter()
        .map(|version| {
            json!({
                "name": version.name,
                "version": version.version,
                "made": version.at.map(|at| at.to_string()),
                "bytes": version.size,
                "modified": version.modified.0,
            })
        })
        .collect();
    Ok(Value::from(all).to_string())
}

/// Puts a version back; what is there becomes a version first. Gives the name.
pub fn restore(root: &Path, version: &str, own: &str) -> Result<String> {
    let own = DeviceId::parse(own)
        .map_err(|error| Error::new(Code::InvalidArgument, own, error.to_string()))?;
    let outcome = open(root)?
        .restore(version, now(&SystemClock), own.short())
        .map_err(|why| failed(root, why))?;
    match outcome {
        Outcome::Done(_) | Outcome::Raced { .. } => {
            Ok(untagged(version).map_or_else(|| version.to_owned(), |(name, _)| name))
        }
        Outcome::Changed(_) => Err(failed(
            root,
            Failure::Other("the file changed meanwhile".to_owned()),
        )),
        Outcome::NotEmpty(_) => Err(failed(
            root,
            Failure::Other("a directory has that name".to_owned()),
        )),
        Outcome::Failed(why) => Err(failed(root, why)),
    }
}

/// Removes what a policy (as in the configuration) does not keep: how many went.
pub fn prune(root: &Path, keep: &str) -> Result<usize> {
    let keep = config::parse_versions(keep)?;
    let (gone, failures) = open(root)?
        .prune(keep, now(&SystemClock))
        .map_err(|why| failed(root, why))?;
    match failures.into_iter().next() {
        Some((name, why)) => Err(failed(&root.join(name), why)),
        None => Ok(gone),
    }
}

fn open(root: &Path) -> Result<Root> {
    Root::open(root).map_err(|doubt| {
        let why = match doubt {
            Doubt::RootMissing => "there is no such directory".to_owned(),
            Doubt::Other(words) | Doubt::Ignores(words) => words,
            other => format!("{other:?}"),
        };
        Error::new(Code::InvalidArgument, root.display().to_string(), why)
    })
}

fn failed(object: &Path, why: Failure) -> Error {
    let words = match why {
        Failure::Gone => "there is no such file".to_owned(),
        Failure::Denied => "it may not be touched".to_owned(),
        Failure::Full => "no room".to_owned(),
        Failure::Unsteady => "it changed while it was read".to_owned(),
        Failure::WrongHash => "its bytes are others than expected".to_owned(),
        Failure::Other(words) => words,
    };
    Error::new(Code::InvalidArgument, object.display().to_string(), words)
}
