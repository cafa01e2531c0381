//! Go's `FileMode` bits and Unix's `st_mode`: the same facts at other places.

use std::fmt::Write;

const PERMISSIONS: u32 = 0o777;

const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_CHAR_DEVICE: u32 = 1 << 21;
const GO_STICKY: u32 = 1 << 20;
const GO_IRREGULAR: u32 = 1 << 19;

/// Setuid, setgid and sticky: (Go's bit, Unix's bit).
const MOVED: [(u32, u32); 3] = [
    (GO_SETUID, 0o4000),
    (GO_SETGID, 0o2000),
    (GO_STICKY, 0o1000),
];

/// Moves `st_mode` to Go's `FileMode`.
pub fn mode_to_go(st_mode: u32) -> u32 {
    let kind = match st_mode & 0o170_000 {
        0o100_000 => 0,
        0o040_000 => GO_DIR,
        0o120_000 => GO_SYMLINK,
        0o060_000 => GO_DEVICE,
        0o020_000 => GO_DEVICE | GO_CHAR_DEVICE,
        0o010_000 => GO_FIFO,
        0o140_000 => GO_SOCKET,
        _ => GO_IRREGULAR,
    };
    let moved = MOVED.iter().filter(|(_, unix)| st_mode & unix != 0);
    st_mode & PERMISSIONS | kind | moved.fold(0, |bits, (go, _)| bits | go)
}

/// Moves Go's `FileMode` to the permission bits of `st_mode` (07777).
pub fn permissions_from_go(mode: u32) -> u32 {
    let moved = MOVED.iter().filter(|(go, _)| mode & go != 0);
    mode & PERMISSIONS | moved.fold(0, |bits, (_, unix)| bits | unix)
}

/// Go's text of a `FileMode`, as `restic ls -l` and its JSON show it: a letter for each bit above the
/// permissions (`-` if there is none), then the nine permissions.
pub fn mode_string(mode: u32) -> String {
    let mut text = String::with_capacity(12);
    for (at, letter) in "dalTLDpSugct?".chars().enumerate() {
        if mode & 1 << (31 - at) != 0 {
            text.push(letter);
        }
    }
    if text.is_empty() {
        text.push('-');
    }
    for shift in [6, 3, 0] {
        let bits = mode >> shift;
        let letter = |bit: u32, letter: char| if bits & bit != 0 { letter } else { '-' };
        let _ = write!(
            text,
            "{}{}{}",
            letter(4, 'r'),
            letter(2, 'w'),
            letter(1, 'x')
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_special_bits_move() {
        assert_eq!(mode_to_go(0o100_644), 420);
        assert_eq!(mode_to_go(0o040_755), 2_147_484_141);
        assert_eq!(mode_to_go(0o120_777), 134_218_239);
        assert_eq!(mode_to_go(0o104_755), GO_SETUID | 0o755);
        assert_eq!(mode_to_go(0o042_775), GO_DIR | GO_SETGID | 0o775);
        assert_eq!(mode_to_go(0o041_777), GO_DIR | GO_STICKY | 0o777);
        assert_eq!(mode_to_go(0o020_620), GO_DEVICE | GO_CHAR_DEVICE | 0o620);
        assert_eq!(mode_to_go(0o060_660), GO_DEVICE | 0o660);
        assert_eq!(mode_to_go(0o010_600), GO_FIFO | 0o600);
        assert_eq!(mode_to_go(0o140_600), GO_SOCKET | 0o600);
    }

    #[test]
    fn permissions_come_back() {
        for kind in [0o100_000, 0o040_000, 0o120_000, 0o020_000] {
            for permissions in 0..=0o7777 {
                assert_eq!(
                    permissions_from_go(mode_to_go(kind | permissions)),
                    permissions
                );
            }
        }
    }

    /// Expected values: printed by Go 1.26 (`os.FileMode.String`).
    #[test]
    fn texts_are_gos() {
        assert_eq!(mode_string(420), "-rw-r--r--");
        assert_eq!(mode_string(2_147_484_141), "drwxr-xr-x");
        assert_eq!(mode_string(134_218_239), "Lrwxrwxrwx");
        assert_eq!(
            mode_string(GO_DEVICE | GO_CHAR_DEVICE | 0o620),
            "Dcrw--w----"
        );
        assert_eq!(mode_string(GO_DIR | GO_STICKY | 0o777), "dtrwxrwxrwx");
        assert_eq!(mode_string(GO_SETUID | GO_SETGID | 0o755), "ugrwxr-xr-x");
        assert_eq!(mode_string(GO_FIFO | 0o600), "prw-------");
        assert_eq!(mode_string(GO_SOCKET), "S---------");
        assert_eq!(mode_string(GO_IRREGULAR), "?---------");
    }
}
