//! What can be asked of a folder without a running device: its versions, and what lines of an ignore file mean.

use std::collections::BTreeSet;
use std::path::Path;

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

/// Puts a version back under its name, or another one, which has to be free; what is there becomes a version first. Gives
/// the name.
pub fn restore(root: &Path, version: &str, into: Option<&str>) -> Result<String> {
    let outcome = open(root)?
        .restore(version, into, now(&SystemClock))
        .map_err(|why| failed(root, why))?;
    let other = |words: &str| Err(failed(root, Failure::Other(words.to_owned())));
    match outcome {
        Outcome::Done(_) | Outcome::Raced { .. } => Ok(into.map_or_else(
            || untagged(version).map_or_else(|| version.to_owned(), |(name, _)| name),
            str::to_owned,
        )),
        Outcome::Changed(_) if into.is_some() => other("something has that name already"),
        Outcome::Changed(_) => other("the file changed meanwhile"),
        Outcome::NotEmpty(_) => other("a directory has that name"),
        Outcome::Failed(why) => Err(failed(root, why)),
    }
}

/// Removes what a policy (as in the configuration) does not keep: a JSON list of the versions that went.
pub fn prune(root: &Path, keep: &str) -> Result<String> {
    let keep = config::parse_versions(keep)?;
    let folder = open(root)?;
    let names = |folder: &Root| -> Result<BTreeSet<String>> {
        let found = folder.versions(None).map_err(|why| failed(root, why))?;
        Ok(found.into_iter().map(|version| version.version).collect())
    };
    let before = names(&folder)?;
    let (_, failures) = folder
        .prune(keep, now(&SystemClock))
        .map_err(|why| failed(root, why))?;
    if let Some((name, why)) = failures.into_iter().next() {
        return Err(failed(&root.join(name), why));
    }
    let after = names(&folder)?;
    let gone: Vec<&String> = before.difference(&after).collect();
    Ok(json!(gone).to_string())
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
