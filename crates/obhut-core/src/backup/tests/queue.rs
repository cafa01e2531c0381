//! Who gets which task, on made-up work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::*;
use crate::backup::directory::{Before, Directory, DirectoryTask, Paths, Place};
use crate::backup::file::FilesTask;
use crate::backup::queue::{Queue, Role, Task};

/// Makes tasks: their name says what hangs below them.
struct Maker {
    holder: Arc<fs::Handle>,
    directory: Arc<Directory>,
    _folder: tempfile::TempDir,
}

impl Maker {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str().as_bytes();
        let paths = Arc::new(Paths {
            source: path.to_vec(),
            snapshot: path.to_vec(),
        });
        let nothing = Before::Nothing;
        let zero = Duration::ZERO;
        Self {
            holder: Arc::new(fs::open_directory_path(path).unwrap()),
            directory: Directory::new(paths, None, None, nothing, 1, Vec::new(), zero),
            _folder: folder,
        }
    }

    fn directory(&self, name: &str) -> Task {
        Task::Directory(Box::new(DirectoryTask {
            holder: Arc::clone(&self.holder),
            name: name.into(),
            node_name: name.into(),
            paths: Arc::clone(&self.directory.paths),
            place: Place {
                directory: Arc::clone(&self.directory),
                slot: 0,
            },
            inside: None,
            previous: Before::Nothing,
            started: Duration::ZERO,
        }))
    }

    fn files(&self) -> Task {
        Task::Files(Box::new(FilesTask {
            holder: Arc::clone(&self.holder),
            above: Arc::clone(&self.directory.paths),
            directory: Arc::clone(&self.directory),
            files: Vec::new(),
        }))
    }
}

fn slow(queue: &Queue) {
    for _ in 0..16 {
        queue.listed(true);
    }
}

/// Who asks gets nothing now: the answer comes only once `control` is cancelled.
fn gets_nothing(queue: &Queue, role: Role) {
    let control = Control::new();
    let answered = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(queue.next(role, &control).is_none());
            answered.store(true, Relaxed);
        });
        std::thread::sleep(Duration::from_millis(120));
        assert!(!answered.load(Relaxed));
        control.cancel();
    });
    assert!(queue.outcome().is_err());
}

#[test]
fn a_scout_takes_a_directory_from_the_top_while_listing_is_slow() {
    let (maker, control) = (Maker::new(), Control::new());
    let queue = Queue::new(2);
    queue.push([maker.files(), maker.directory("d")]);
    slow(&queue);
    let task = queue.next(Role::Scout, &control);
    assert!(matches!(task, Some(Task::Directory(d)) if d.name == b"d"));
    gets_nothing(&queue, Role::Scout); // files are on top
}

#[test]
fn a_scout_rests_where_listing_waits_for_nothing() {
    let maker = Maker::new();
    let queue = Queue::new(2);
    queue.push([maker.directory("d")]);
    gets_nothing(&queue, Role::Scout);

    let queue = Queue::new(2);
    queue.push([maker.directory("d")]);
    slow(&queue);
    for waited in [
        false, true, false, false, false, false, false, false, false, false, false,
    ] {
        queue.listed(waited); // one that waits now and then is not enough
    }
    gets_nothing(&queue, Role::Scout);
}

#[test]
fn all_work_is_done_once_whoever_does_it() {
    let maker = Maker::new();
    for seed in 0..20_usize {
        let queue = Queue::new(2);
        let control = Control::new();
        let (directories, files) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let names = Mutex::new(std::collections::BTreeSet::new());
        queue.push([maker.directory("r")]);
        let work = |role: Role| {
            while let Some(task) = queue.next(role, &control) {
                match task {
                    Task::Directory(task) => {
                        directories.fetch_add(1, Relaxed);
                        let name = String::from_utf8(task.name.clone()).unwrap();
                        assert!(names.lock().unwrap().insert(name.clone()), "{name} twice");
                        if name.len() < 6 {
                            let below = (0..3).map(|n| maker.directory(&format!("{name}{n}")));
                            let with_files = (name.len() + seed).is_multiple_of(2);
                            queue.push(below.chain(with_files.then(|| maker.files())));
                        }
                        slow(&queue);
                    }
                    Task::Files(_) => {
                        assert_eq!(role, Role::Worker);
                        files.fetch_add(1, Relaxed);
                    }
                    Task::Chunk(_) => unreachable!(),
                }
                queue.done(Ok(()));
            }
        };
        std::thread::scope(|scope| {
            for role in [Role::Worker, Role::Scout, Role::Scout] {
                let work = &work;
                scope.spawn(move || work(role));
            }
            work(Role::Worker);
        });
        queue.outcome().unwrap();
        let with_files: usize = (1..6_u32)
            .filter(|length| (*length as usize + seed).is_multiple_of(2))
            .map(|length| 3_usize.pow(length - 1))
            .sum();
        assert_eq!(directories.into_inner(), (3_usize.pow(6) - 1) / 2);
        assert_eq!(files.into_inner(), with_files);
    }
}
