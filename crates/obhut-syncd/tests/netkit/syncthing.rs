//! Real Syncthings on loopback, each in a home of its own, as `tests/record_bep.py` starts them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use obhut_bep::DeviceId;
use obhut_syncd::net::Identity;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::PATIENCE;

pub const FOLDER: &str = "shared";
const KEY: &str = "key-of-the-test";

/// All that are here: in `$OBHUT_PEERS` or `../shared/peers` beside the checkout, and on PATH.
pub fn programs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("../shared/peers")];
    if let Some(named) = std::env::var_os("OBHUT_PEERS") {
        folders.insert(0, named.into());
    }
    let mut found = Vec::new();
    let first = folders.iter().map(|folder| folder.join("syncthing"));
    found.extend(first.filter(|program| program.is_file()).take(1));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).map(|folder| folder.join("syncthing"));
    found.extend(others.filter(|program| program.is_file()).take(1));
    if found.is_empty() {
        let said = "no syncthing in $OBHUT_PEERS, in ../shared/peers or on PATH";
        assert!(std::env::var_os("OBHUT_REQUIRE_PEERS").is_none(), "{said}");
        #[allow(clippy::print_stderr)] // whoever reads the test's output
        {
            eprintln!("skipped: {said}");
        }
    }
    found
}

/// One that runs; it ends with this.
pub struct Syncthing {
    child: Child,
    api: SocketAddr,
    pub id: DeviceId,
    pub address: String,
    pub version: String,
    _base: TempDir,
}

impl Drop for Syncthing {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A port of loopback that is free now.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn config(
    theirs: DeviceId,
    ours: DeviceId,
    dials: &str,
    places: [SocketAddr; 2],
    folder: &Path,
) -> String {
    let [port, api] = places;
    let folder = folder.display();
    format!(
        r#"<configuration version="35">
 <folder id="{FOLDER}" label="Shared" path="{folder}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="false">
  <device id="{theirs}"></device><device id="{ours}"></device>
 </folder>
 <device id="{theirs}" name="syncthing"><address>dynamic</address></device>
 <device id="{ours}" name="obhut" compression="metadata"><address>{dials}</address></device>
 <gui enabled="true"><address>{api}</address><apikey>{KEY}</apikey></gui>
 <options>
  <listenAddress>tcp://{port}</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
  <localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
  <urAccepted>-1</urAccepted><startBrowser>false</startBrowser><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
  <crashReportingEnabled>false</crashReportingEnabled><setLowPriority>false</setLowPriority>
  <reconnectionIntervalS>5</reconnectionIntervalS>
 </options>
</configuration>
"#
    )
}

impl Syncthing {
    /// Starts one that knows us, and dials that address.
    pub async fn start(program: &Path, ours: DeviceId, dials: &str) -> Self {
        let base = tempfile::tempdir().unwrap();
        let (home, folder) = (base.path().join("home"), base.path().join("folder"));
        let homed = format!("--home={}", home.display());
        // Its own certificate, as it makes them.
        let made = Command::new(program)
            .args(["generate", &homed])
            .env("HOME", base.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let id = Identity::load(&home).unwrap().device();
        std::fs::create_dir_all(folder.join(".stfolder")).unwrap();
        let places = [free(), free()];
        let text = config(id, ours, dials, places, &folder);
        #[allow(clippy::disallowed_methods)] // files of a test
        {
            std::fs::write(folder.join("a.txt"), b"hello\n").unwrap();
            std::fs::write(home.join("config.xml"), text).unwrap();
        }
        let child = Command::new(program)
            .args([
                "serve",
                &homed,
                "--no-browser",
                "--no-restart",
                "--no-upgrade",
            ])
            .env("HOME", base.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut found = Self {
            child,
            api: places[1],
            id,
            address: format!("tcp://{}", places[0]),
            version: String::new(),
            _base: base,
        };
        found.version = found
            .until("system/version", |said| text_of(said, "version"))
            .await;
        found
    }

    /// Asks its API until the answer says what is wanted.
    pub async fn until<T>(&mut self, path: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + 2 * PATIENCE;
        let mut said = String::new();
        while Instant::now() < deadline {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
            if let Ok(answer) = self.ask(path) {
                if let Some(found) = wanted(&answer) {
                    return found;
                }
                said = answer;
            }
            sleep(Duration::from_millis(200)).await;
        }
        panic!("{path}: {said}");
    }

    fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.api)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET /rest/{path} HTTP/1.0\r\nHost: {}\r\nX-API-Key: {KEY}\r\n\r\n",
            self.api
        )?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    }

    /// Until it says that we are connected, or are not; gives what it says of us.
    pub async fn until_connected(&mut self, ours: DeviceId, wanted: bool) -> String {
        let word = format!("\"connected\": {wanted}");
        self.until("system/connections", move |said| {
            let (_, of_us) = said.split_once(&format!("\"{ours}\""))?;
            let (of_us, _) = of_us.split_once('}')?;
            of_us.contains(&word).then(|| of_us.to_owned())
        })
        .await
    }
}

/// The text that JSON has under a name.
pub fn text_of(said: &str, name: &str) -> Option<String> {
    let (_, rest) = said.split_once(&format!("\"{name}\": \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}
