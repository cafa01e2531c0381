//! A stream as a file: standard input, or a command's output (formats: restic 16).
//!
//! The file has mode 0644 and the time of the backup, its directories 0755; both belong to whoever runs
//! the backup. Inode, device and links are unknown, so that they are left out.

use std::io::Read;
use std::sync::Arc;

use super::directory::{Before, Directory, Paths, Place};
use super::engine::{Engine, Tools};
use super::targets::join;
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::tree::{Node, NodeType, mode_to_go};

impl Engine<'_> {
    /// Reads `source` as the only file, `name`.
    pub fn plant_stream(
        &self,
        source: &mut dyn Read,
        name: &[u8],
        tools: &mut Tools,
    ) -> Result<()> {
        let path = join(b"/", name);
        let parts: Vec<&[u8]> = path[1..].split(|byte| *byte == b'/').collect();
        let Some((file, directories)) = parts.split_last().filter(|(file, _)| !file.is_empty())
        else {
            let object = gojson::display(name);
            return Err(Error::new(Code::InvalidArgument, object, "no file name"));
        };
        let mut paths = Paths {
            source: b"/".to_vec(),
            snapshot: b"/".to_vec(),
        };
        let last = directories.is_empty();
        let mut directory = self.made_up(&paths, None, None, last);
        for (depth, name) in directories.iter().enumerate() {
            let above = Place {
                directory: Arc::clone(&directory),
                slot: 0,
            };
            self.release(&directory, tools)?;
            paths = paths.below(name, name);
            let node = self.made_up_node(name, NodeType::Dir);
            let last = depth + 1 == directories.len();
            directory = self.made_up(&paths, Some(above), Some(node), last);
        }
        let place = Place {
            directory: Arc::clone(&directory),
            slot: 0,
        };
        self.release(&directory, tools)?;
        let node = self.made_up_node(file, NodeType::File);
        self.save_stream(source, place, node, &path, tools)
    }

    fn made_up(
        &self,
        paths: &Paths,
        above: Option<Place>,
        node: Option<Node>,
        holds_target: bool,
    ) -> Arc<Directory> {
        let paths = Arc::new(paths.clone());
        let targets = vec![holds_target];
        Directory::new(
            paths,
            above,
            node,
            Before::Nothing,
            1,
            targets,
            self.elapsed(),
        )
    }

    fn made_up_node(&self, name: &[u8], kind: NodeType) -> Node {
        let mut node = Node::new(name.to_vec(), kind);
        let now = self.facts.zone.at(self.repo.clock().now());
        (node.mtime, node.atime, node.ctime) = (now, now, now);
        node.uid = rustix::process::getuid().as_raw();
        node.gid = rustix::process::getgid().as_raw();
        if kind == NodeType::Dir {
            node.mode = mode_to_go(0o040_755);
        } else {
            node.mode = mode_to_go(0o100_644);
            node.content = Some(Vec::new());
        }
        node
    }
}
