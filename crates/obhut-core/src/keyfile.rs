//! Key files: a password's wrapping of the master key (formats: restic 3).
//!
//! A key file is plain JSON: who made it, scrypt's cost and salt, and the master key sealed with the key that
//! scrypt derives from the password. Its cost parameters are honoured within bounds: a hostile file must not
//! take the machine's memory or an afternoon. Everything secret on the way is wiped.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::RecvTimeoutError;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::crypto::{Key, KeyParts, OVERHEAD, wiped};
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::gotime::GoTime;
use crate::job::{Control, guarded};
use crate::repo::Identity;
use crate::world::{Random, Timestamp};

/// Largest key file that is looked at; real ones have about 450 bytes.
const MAX_FILE: usize = 64 << 10;
/// Most memory that a key file's parameters may ask for.
const MAX_MEMORY: u64 = 1 << 30;
/// Tables of passes that run side by side take this much together.
const LANES_MEMORY: u64 = 256 << 20;
/// Most work (as bytes mixed) that a key file's parameters may ask for: about half a minute.
const MAX_WORK: u64 = 8 << 30;
/// Bytes of the salt.
const SALT: usize = 64;
/// What new key files should cost.
const TARGET_TIME: Duration = Duration::from_millis(500);
/// Most passes that calibrating chooses, however fast the machine.
const MAX_PASSES: u32 = 16;

/// A parsed key file. Nothing in it is secret without the password.
#[derive(Debug)]
pub struct KeyFile {
    /// When it was made, as written.
    pub created: String,
    /// By whom.
    pub username: String,
    /// On which host.
    pub hostname: String,
    object: String,
    params: ScryptParams,
    salt: [u8; SALT],
    data: Vec<u8>,
}

/// The file as JSON. Unknown keys are ignored.
#[derive(Deserialize)]
struct KeyJson {
    #[serde(default)]
    created: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// The master key as JSON; the texts borrow from the plaintext, which is wiped.
#[derive(Deserialize)]
struct MasterJson<'a> {
    #[serde(borrow)]
    mac: MacJson<'a>,
    encrypt: &'a str,
}

#[derive(Deserialize)]
struct MacJson<'a> {
    k: &'a str,
    r: &'a str,
}

/// scrypt's cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScryptParams {
    /// A power of two.
    pub n: u64,
    /// Block size.
    pub r: u32,
    /// Parallelism.
    pub p: u32,
}

impl ScryptParams {
    /// The least cost of new key files: 32 MiB.
    pub const FLOOR: Self = Self {
        n: 1 << 15,
        r: 8,
        p: 1,
    };

    /// About half a second and at most 60 MiB on this machine; never under N=2^15, r=8, p=1.
    #[expect(
        clippy::disallowed_methods,
        reason = "a simulated clock cannot tell what this CPU takes"
    )]
    pub fn calibrate() -> Self {
        let start = Instant::now();
        // The result does not matter, only how long it takes; deriving with valid parameters cannot fail.
        let _ = stretch(b"calibration", &[0; SALT], Self::FLOOR);
        Self::for_speed(start.elapsed())
    }

    /// The cost for a machine that takes `floor` for [`ScryptParams::FLOOR`]. Doubling N would exceed
    /// 60 MiB, so the time goes into passes.
    fn for_speed(floor: Duration) -> Self {
        let passes = TARGET_TIME.as_nanos() / floor.as_nanos().max(1);
        let p = u32::try_from(passes)
            .unwrap_or(MAX_PASSES)
            .clamp(1, MAX_PASSES);
        Self { p, ..Self::FLOOR }
    }

    /// Bytes of memory, and bytes mixed in all; `None` if that overflows.
    fn cost(self) -> Option<(u64, u64)> {
        let block = 128 * u64::from(self.r);
        let table = block.checked_mul(self.n)?;
        let memory = table.checked_add(block.checked_mul(u64::from(self.p))?)?;
        Some((memory, table.checked_mul(u64::from(self.p))?))
    }

    /// How many of the passes run side by side: they do not depend on each other, but each needs a table of its
    /// own, and together these stay within [`LANES_MEMORY`].
    fn lanes(self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let tables = self
            .cost()
            .map_or(1, |(memory, _)| LANES_MEMORY / memory.max(1));
        processors
            .min(self.p as usize)
            .min(usize::try_from(tables).unwrap_or(1))
            .max(1)
    }

    /// Refuses parameters that scrypt does not know or that cost too much.
    fn check(self, object: &str) -> Result<()> {
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return Err(Error::damaged(object, "impossible scrypt parameters"));
        }
        match self.cost() {
            Some((memory, work)) if memory <= MAX_MEMORY && work <= MAX_WORK => Ok(()),
            _ => {
                let detail = format!(
                    "scrypt with N={} r={} p={} costs too much",
                    self.n, self.r, self.p
                );
                Err(Error::new(Code::LimitExceeded, object, detail))
            }
        }
    }
}

impl KeyFile {
    /// Parses and bounds a key file's bytes (`object` names it in errors).
    pub fn parse(object: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_FILE {
            let detail = format!("{} bytes are too many for a key file", bytes.len());
            return Err(Error::new(Code::LimitExceeded, object, detail));
        }
        let damaged = |detail: &str| Error::damaged(object, detail);
        // Reading as a structure would take a list for its fields.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(damaged("it is no JSON object"));
        }
        let json: KeyJson = serde_json::from_slice(bytes).map_err(|e| damaged(&e.to_string()))?;
        if json.kdf != "scrypt" {
            let detail = format!("key derivation {:?} is unknown", json.kdf);
            return Err(Error::new(Code::RepositoryUnsupported, object, detail));
        }
        let params = ScryptParams {
            n: json.n,
            r: json.r,
            p: json.p,
        };
        params.check(object)?;
        let salt = STANDARD.decode(&json.salt).ok();
        let salt = salt.and_then(|salt| <[u8; SALT]>::try_from(salt).ok());
        let data = STANDARD.decode(&json.data).ok();
        let data = data.filter(|data| data.len() >= OVERHEAD);
        Ok(Self {
            created: json.created,
            username: json.username,
            hostname: json.hostname,
            object: object.to_owned(),
            params,
            salt: salt.ok_or_else(|| damaged("its salt is not 64 bytes"))?,
            data: data.ok_or_else(|| damaged("its data is too short"))?,
        })
    }

    /// What opening it costs.
    pub fn params(&self) -> ScryptParams {
        self.params
    }

    /// The master key, or `None` if the password does not fit.
    pub fn open(&self, password: &[u8], control: &Control) -> Result<Option<Key>> {
        wiped(|| self.unwrap(password, control))
    }

    fn unwrap(&self, password: &[u8], control: &Control) -> Result<Option<Key>> {
        let Some(user_key) = derive(password, &self.salt, self.params, control)? else {
            return Ok(None);
        };
        let mut plain = Zeroizing::new(self.data.clone());
        let Some(json) = user_key.open_in_place(&mut plain) else {
            return Ok(None);
        };
        let master = parse_master(json);
        let master =
            master.ok_or_else(|| Error::damaged(&self.object, "its master key does not parse"))?;
        Ok(Some(master))
    }

    /// The bytes of a new key file for `master`.
    pub fn create(
        master: &Key,
        password: &[u8],
        params: ScryptParams,
        who: &Identity,
        created: Timestamp,
        random: &dyn Random,
        control: &Control,
    ) -> Result<Vec<u8>> {
        params.check("new key")?;
        let mut salt = [0; SALT];
        random.fill(&mut salt)?;
        let data = wiped(|| -> Result<_> {
            let user_key = derive(password, &salt, params, control)?;
            let user_key =
                user_key.ok_or_else(|| Error::internal("scrypt gave an all-zero key"))?;
            let mut data = Vec::new();
            user_key.seal(random, &master_json(master), &mut data)?;
            Ok(data)
        })?;

        let mut json = b"{\"created\":\"".to_vec();
        GoTime {
            at: created,
            offset: 0,
        }
        .write(&mut json);
        json.extend_from_slice(b"\",\"username\":");
        gojson::write_string(who.username.as_bytes(), &mut json);
        json.extend_from_slice(b",\"hostname\":");
        gojson::write_string(who.hostname.as_bytes(), &mut json);
        let ScryptParams { n, r, p } = params;
        let (salt, data) = (STANDARD.encode(salt), STANDARD.encode(data));
        let rest =
            format!(r#","kdf":"scrypt","N":{n},"r":{r},"p":{p},"salt":"{salt}","data":"{data}"}}"#);
        json.extend_from_slice(rest.as_bytes());
        Ok(json)
    }
}

/// How soon a derivation that is waited for notices a cancel.
const SLICE: Duration = Duration::from_millis(50);

/// The user key of a password; `None` if it has an all-zero part and thus is none.
///
/// scrypt knows no interruption, and a key file may ask for half a minute of it: it runs in a thread that a cancel
/// leaves behind. The thread wipes what it holds when it comes to its end, or the process takes it along.
fn derive(
    password: &[u8],
    salt: &[u8; SALT],
    params: ScryptParams,
    control: &Control,
) -> Result<Option<Key>> {
    let (out, stretched) = crossbeam_channel::bounded(1);
    let (password, salt) = (Zeroizing::new(password.to_vec()), *salt);
    let thread = std::thread::Builder::new()
        .name("scrypt".to_owned())
        .spawn(move || out.send(guarded(|| stretch(&password, &salt, params))))
        .map_err(|e| Error::io("thread", &e))?;
    let derived = loop {
        control.check()?;
        match stretched.recv_timeout(SLICE) {
            Ok(derived) => break derived?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("the key derivation died"));
            }
        }
    };
    // What it still does is wipe the password.
    let _ = thread.join();
    let mut parts = KeyParts::default();
    parts.encrypt.copy_from_slice(&derived[..32]);
    parts.mac_k.copy_from_slice(&derived[32..48]);
    parts.mac_r.copy_from_slice(&derived[48..]);
    Ok(Key::from_parts(parts))
}

/// scrypt. What it gives lies on the heap: it goes from thread to thread, and each move of an array leaves a copy.
fn stretch(
    password: &[u8],
    salt: &[u8; SALT],
    params: ScryptParams,
) -> Result<Box<Zeroizing<[u8; 64]>>> {
    let log_n = params.n.trailing_zeros() as u8;
    let invalid = || Error::internal("scrypt refuses checked parameters");
    let scrypt_params = scrypt::Params::new(log_n, params.r, params.p).map_err(|_| invalid())?;
    let mut derived = Box::new(Zeroizing::new([0; 64]));
    in_a_pool(params.lanes(), || {
        wiped(|| scrypt::scrypt(password, salt, &scrypt_params, &mut **derived))
    })?
    .map_err(|_| invalid())?;
    Ok(derived)
}

/// Runs `work` in a pool of threads of its own. All of them have ended when it returns: a scope alone waits for what
/// its threads do, not for the memory that they give back after that.
fn in_a_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let mut started = Vec::new();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|thread| {
                let builder =
                    std::thread::Builder::new().name(format!("scrypt-{}", thread.index()));
                started.push(builder.spawn_scoped(scope, || thread.run())?);
                Ok(())
            })
            .build();
        // The pool ends its threads when it is dropped, also if not all of them could be started.
        let done = pool.map(|pool| pool.install(work));
        for thread in started {
            let _ = thread.join();
        }
        done.map_err(|e| Error::new(Code::Io, "thread", e.to_string()))
    })
}

/// Reads the master key's JSON.
pub(crate) fn parse_master(json: &[u8]) -> Option<Key> {
    let json: MasterJson<'_> = serde_json::from_slice(json).ok()?;
    let mut parts = KeyParts::default();
    let fill = |text: &str, out: &mut [u8]| {
        let wanted = out.len();
        // The decoder wants room for what a text of this length could hold.
        let mut room = Zeroizing::new([0; 48]);
        let length = STANDARD.decode_slice(text, &mut *room).ok()?;
        (length == wanted).then(|| out.copy_from_slice(&room[..wanted]))
    };
    fill(json.encrypt, &mut parts.encrypt)?;
    fill(json.mac.k, &mut parts.mac_k)?;
    fill(json.mac.r, &mut parts.mac_r)?;
    Key::from_parts(parts)
}

/// Writes the master key's JSON.
pub(crate) fn master_json(master: &Key) -> Zeroizing<Vec<u8>> {
    let parts = master.parts();
    // Room for all of it, so that growing leaves no copy behind.
    let mut json = Zeroizing::new(Vec::with_capacity(256));
    let put = |bytes: &[u8], json: &mut Vec<u8>| {
        let mut text = Zeroizing::new([0; 48]);
        let length = STANDARD
            .encode_slice(bytes, &mut *text)
            .expect("48 characters hold 32 bytes");
        json.extend_from_slice(&text[..length]);
    };
    json.extend_from_slice(b"{\"mac\":{\"k\":\"");
    put(&parts.mac_k, &mut json);
    json.extend_from_slice(b"\",\"r\":\"");
    put(&parts.mac_r, &mut json);
    json.extend_from_slice(b"\"},\"encrypt\":\"");
    put(&parts.encrypt, &mut json);
    json.extend_from_slice(b"\"}");
    json
}

#[cfg(test)]
mod tests;
