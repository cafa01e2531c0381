//! The store in `SQLite`. WAL with a full sync: a transaction that was committed lasts, one that was not has never been.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use obhut_bep::{DeviceId, FileInfo};
use obhut_sync::io::{Change, Facts};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::aside::remove_leftovers;
use super::codec;
use super::contract::Keep;
use super::error::{Error, Result};

/// The form of the tables that this program writes.
const VERSION: i64 = 1;
/// Marks a database as an index of Obhut ("obhi").
const APPLICATION: i64 = 0x6f62_6869;
/// Names come first in each row, and rows of many blocks go on elsewhere: nothing but the name is compared.
const TABLES: &str = "
    CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL);
    CREATE TABLE device (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, life BLOB NOT NULL);
    CREATE TABLE local (name TEXT PRIMARY KEY, observed BLOB, entry BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE remote (
        device INTEGER NOT NULL, name TEXT NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (device, name)
    ) WITHOUT ROWID;";

const PUT_META: &str = "INSERT OR REPLACE INTO meta (one, value) VALUES (1, ?1)";
const GET_META: &str = "SELECT value FROM meta";
const PUT_LOCAL: &str = "INSERT INTO local (name, observed, entry) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET observed = excluded.observed, entry = excluded.entry";
const PUT_OBSERVED: &str = "UPDATE local SET observed = ?2 WHERE name = ?1";
const GET_LOCAL: &str = "SELECT name, entry, observed FROM local";
const PUT_REMOTE: &str = "INSERT INTO remote (device, name, entry) VALUES (?1, ?2, ?3)
    ON CONFLICT (device, name) DO UPDATE SET entry = excluded.entry";
const DROP_REMOTE: &str = "DELETE FROM remote WHERE device = ?1";
const GET_REMOTE: &str = "SELECT name, entry, device FROM remote";
const PUT_DEVICE: &str = "INSERT INTO device (id, life) VALUES (?1, ?2)";
const DROP_DEVICE: &str = "DELETE FROM device WHERE number = ?1";
const GET_DEVICE: &str = "SELECT number FROM device WHERE id = ?1";
const GET_DEVICES: &str = "SELECT number, id, life FROM device ORDER BY number";
const STATEMENTS: [&str; 12] = [
    PUT_META,
    GET_META,
    PUT_LOCAL,
    PUT_OBSERVED,
    GET_LOCAL,
    PUT_REMOTE,
    DROP_REMOTE,
    GET_REMOTE,
    PUT_DEVICE,
    DROP_DEVICE,
    GET_DEVICE,
    GET_DEVICES,
];

/// One folder's store. No other process and no second handle can have it open at the same time.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// Numbers of devices that were looked up.
    devices: HashMap<DeviceId, i64>,
}

impl Store {
    /// Opens the store at `path`, or makes it. Its directory has to be there.
    pub fn open(path: &Path) -> Result<Self> {
        remove_leftovers(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_millis(200))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS.len());
        // Before anything is read: then no memory is shared with others, and the first read takes the lock.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "cell_size_check", true)?;
        prepare_tables(&mut connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -8192)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        for statement in STATEMENTS {
            connection.prepare_cached(statement)?;
        }
        Ok(Self {
            connection,
            devices: HashMap::new(),
        })
    }

    /// Gives back the newest of each, at most `batch` changes at a time: what is known of ourselves, our entries with what
    /// the disk showed, and of each device its life and then its entries. What was given before an error is to be forgotten.
    pub fn load(&mut self, batch: usize, mut take: impl FnMut(Vec<Change>)) -> Result<()> {
        let mut pieces = Pieces {
            batch: batch.max(1),
            waiting: Vec::new(),
            take: &mut take,
        };
        let row: Option<Vec<u8>> = self
            .connection
            .prepare_cached(GET_META)?
            .query_row([], |row| row.get(0))
            .optional()?;
        if let Some(row) = row {
            let meta = codec::read_meta(&row).ok_or_else(|| damaged("what it knows of itself"))?;
            pieces.push(Change::Meta(meta));
        }
        self.load_local(&mut pieces)?;
        self.load_remote(&mut pieces)?;
        pieces.end();
        Ok(())
    }

    fn load_local(&self, pieces: &mut Pieces<'_>) -> Result<()> {
        let mut statement = self.connection.prepare_cached(GET_LOCAL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            pieces.push(Change::Local {
                info: entry(row)?,
                observed: observed(row)?,
            });
        }
        Ok(())
    }

    fn load_remote(&self, pieces: &mut Pieces<'_>) -> Result<()> {
        let mut statement = self.connection.prepare_cached(GET_DEVICES)?;
        let devices = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(i64, Vec<u8>, Vec<u8>)>>>()?;
        let mut known = HashMap::new();
        for (number, id, life) in devices {
            let life = codec::read_numbers(&id, &life);
            let (Ok(id), Some([index_id])) = (id.try_into(), life) else {
                return Err(damaged("what it knows of a device"));
            };
            let device = DeviceId(id);
            known.insert(number, device);
            pieces.push(Change::RemoteReset { device, index_id });
        }
        // All of them in one go: to look for the rows of one device would trust the order that damage can spoil.
        let mut statement = self.connection.prepare_cached(GET_REMOTE)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(&device) = known.get(&row.get(2)?) else {
                return Err(damaged("whose an entry is"));
            };
            let info = entry(row)?;
            pieces.push(Change::Remote { device, info });
        }
        Ok(())
    }

    /// Keeps all changes, in their order, or none of them. They last when this returns.
    pub fn commit(&mut self, changes: &[Change]) -> Result<()> {
        let kept = self.try_commit(changes);
        if kept.is_err() {
            // Some of them may be of devices that were never kept.
            self.devices.clear();
        }
        kept
    }

    fn try_commit(&mut self, changes: &[Change]) -> Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in changes {
            put(&transaction, &mut self.devices, change)?;
        }
        Ok(transaction.commit()?)
    }

    /// Reads everything: whether nothing is damaged or missing. So that it is known before any of it is believed.
    pub fn check(&mut self) -> Result<()> {
        let said: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            return Err(Error::Damaged(said));
        }
        self.load(1024, drop)
    }
}

impl Keep for Store {
    type Error = Error;

    fn load(&mut self, batch: usize, take: &mut dyn FnMut(Vec<Change>)) -> Result<()> {
        Self::load(self, batch, take)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        Self::commit(self, changes)
    }
}

/// Changes on their way out, so many at a time.
struct Pieces<'a> {
    batch: usize,
    waiting: Vec<Change>,
    take: &'a mut dyn FnMut(Vec<Change>),
}

impl Pieces<'_> {
    fn push(&mut self, change: Change) {
        self.waiting.push(change);
        if self.waiting.len() >= self.batch {
            (self.take)(std::mem::take(&mut self.waiting));
        }
    }

    fn end(self) {
        if !self.waiting.is_empty() {
            (self.take)(self.waiting);
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("{what} is not what was written"))
}

/// The entry of a row that begins with name and entry.
fn entry(row: &Row<'_>) -> Result<Arc<FileInfo>> {
    let name = text(row)?;
    let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    codec::read_entry(name, bytes)
        .map(Arc::new)
        .ok_or_else(|| damaged("an entry"))
}

/// What the disk showed, in the third column.
fn observed(row: &Row<'_>) -> Result<Option<Facts>> {
    let bytes = row.get_ref(2)?.as_blob_or_null();
    match bytes.map_err(rusqlite::Error::from)? {
        None => Ok(None),
        Some(bytes) => codec::read_facts(text(row)?, bytes)
            .map(Some)
            .ok_or_else(|| damaged("what a disk showed")),
    }
}

fn text<'a>(row: &'a Row<'_>) -> Result<&'a str> {
    let name = row.get_ref(0)?.as_str();
    name.map_err(|_| damaged("a name"))
}

/// Sees whose the database is, and makes the tables of a new one.
fn prepare_tables(connection: &mut Connection) -> Result<()> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (version, application) = (number("user_version")?, number("application_id")?);
    match (application, version) {
        (APPLICATION, VERSION) => return journal(connection),
        (APPLICATION, found) if found > VERSION => {
            return Err(Error::Newer {
                found,
                known: VERSION,
            });
        }
        (APPLICATION, found) => return Err(Error::Damaged(format!("version {found}"))),
        (0, 0) => {}
        _ => return Err(Error::Foreign),
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables != 0 {
        return Err(Error::Foreign);
    }
    journal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

fn journal(connection: &Connection) -> Result<()> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(Error::Other(format!("no write-ahead log here ({mode})")))
    }
}

/// Keeps one change.
fn put(
    connection: &Connection,
    devices: &mut HashMap<DeviceId, i64>,
    change: &Change,
) -> Result<()> {
    match change {
        Change::Meta(meta) => connection
            .prepare_cached(PUT_META)?
            .execute([codec::meta(meta)])?,
        Change::Local { info, observed } => {
            let shown = observed
                .as_ref()
                .map(|facts| codec::facts(&info.name, facts));
            connection.prepare_cached(PUT_LOCAL)?.execute(params![
                info.name,
                shown,
                codec::entry(info)
            ])?
        }
        Change::Observed { name, observed } => connection
            .prepare_cached(PUT_OBSERVED)?
            .execute(params![name, codec::facts(name, observed)])?,
        Change::Remote { device, info } => {
            let number = match number_of(connection, devices, device)? {
                Some(number) => number,
                None => put_device(connection, devices, device, 0)?,
            };
            connection.prepare_cached(PUT_REMOTE)?.execute(params![
                number,
                info.name,
                codec::entry(info)
            ])?
        }
        Change::RemoteReset { device, index_id } => {
            if let Some(number) = number_of(connection, devices, device)? {
                connection.prepare_cached(DROP_REMOTE)?.execute([number])?;
                connection.prepare_cached(DROP_DEVICE)?.execute([number])?;
                devices.remove(device);
            }
            if *index_id != 0 {
                put_device(connection, devices, device, *index_id)?;
            }
            0
        }
    };
    Ok(())
}

/// The number of a device that is known here.
fn number_of(
    connection: &Connection,
    devices: &mut HashMap<DeviceId, i64>,
    device: &DeviceId,
) -> Result<Option<i64>> {
    if let Some(&number) = devices.get(device) {
        return Ok(Some(number));
    }
    let number = connection
        .prepare_cached(GET_DEVICE)?
        .query_row([device.0], |row| row.get(0))
        .optional()?;
    if let Some(number) = number {
        devices.insert(*device, number);
    }
    Ok(number)
}

fn put_device(
    connection: &Connection,
    devices: &mut HashMap<DeviceId, i64>,
    device: &DeviceId,
    index_id: u64,
) -> Result<i64> {
    connection
        .prepare_cached(PUT_DEVICE)?
        .execute(params![device.0, codec::numbers(&device.0, [index_id])])?;
    let number = connection.last_insert_rowid();
    devices.insert(*device, number);
    Ok(number)
}
