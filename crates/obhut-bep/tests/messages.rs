//! Messages as bytes: the vectors of the protocol, round trips, pieces of any length, what is refused.

use obhut_bep::{
    Announce, Blocks, ClusterConfig, Code, Compression, Device, DeviceId, Error, FileInfo, Folder,
    Frames, HASH, Hello, Index, Kind, LARGEST_MESSAGE, Message, Request, Response, SMALLEST_BLOCK,
    ShortId, StopReason, Vector, block_size, encode_frame,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

fn one(bytes: &[u8]) -> Result<Option<Message>, Error> {
    let mut frames = Frames::new(LARGEST_MESSAGE);
    frames.feed(bytes);
    frames.next()
}

fn hello_file() -> FileInfo {
    FileInfo {
        name: "a.txt".to_owned(),
        size: 6,
        permissions: 0o644,
        modified: (1_700_000_000, 5),
        modified_by: ShortId(0x07fb_c873_cec9_65a6),
        version: Vector::new([(ShortId(0x07fb_c873_cec9_65a6), 1_700_000_000)]),
        sequence: 1,
        block_size: SMALLEST_BLOCK,
        blocks: Blocks::new(Sha256::digest(b"hello\n").to_vec()).unwrap(),
        ..FileInfo::default()
    }
}

#[test]
fn the_vectors_of_the_formats_page() {
    let hello = Hello {
        device_name: "dev".into(),
        client_name: "obhut".into(),
        client_version: "v1.0.0".into(),
        num_connections: 3,
        timestamp: 1_234_567_890,
    };
    let bytes = unhex("2ea7d90b 001c 0a03646576 12056f62687574 1a0676312e302e30 2003 28d285d8cc04");
    assert_eq!(hello.encode(), bytes);
    assert_eq!(Hello::decode(&bytes), Ok(Some((hello, bytes.len()))));
    let request = Request {
        id: 1,
        folder: "default".into(),
        name: "a.txt".into(),
        size: 6,
        hash: Sha256::digest(b"hello\n").to_vec(),
        ..Request::default()
    };
    let cases = [
        (Message::Ping, "0002 0806 00000000"),
        (
            Message::Close("bye".into()),
            "0002 0807 00000005 0a03627965",
        ),
        (
            Message::ClusterConfig(ClusterConfig::default()),
            "0000 00000000",
        ),
        (
            Message::ClusterConfig(ClusterConfig {
                secondary: true,
                ..ClusterConfig::default()
            }),
            "0000 00000002 1001",
        ),
        (
            Message::Request(request),
            "0002 0803 00000036 0801 120764656661756c74 1a05612e747874 2806 3220
             5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        ),
        (
            Message::Response(Response {
                id: 1,
                data: b"hello\n".to_vec(),
                code: Code::None,
            }),
            "0002 0804 0000000a 0801 1206 68656c6c6f0a",
        ),
    ];
    for (message, text) in cases {
        let bytes = unhex(text);
        assert_eq!(
            encode_frame(&message, Compression::Metadata),
            bytes,
            "{message:?}"
        );
        assert_eq!(one(&bytes), Ok(Some(message)));
    }
    let compressed = unhex("0004 08071001 00000012 000000cb 4f0ac80161 0100 af 50 6161616161");
    assert_eq!(one(&compressed), Ok(Some(Message::Close("a".repeat(200)))));
    let file = unhex(
        "0a05612e747874 1806 20a403 2880e2cfaa06 4a12 0a10 08a6cba5f6bc8ef2fd07 1080e2cfaa06 5001 5805 60a6cba5f6bc8ef2fd07
         68808008 820124 1006 1a20 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 920120
         ecb65bb98f9d905b70458986c39fcbad7715e5f2fcc3b1f07767d7c83e2438cc",
    );
    assert_eq!(hello_file().encode(), file);
    let announce = Announce {
        id: DeviceId((0..32).collect::<Vec<u8>>().try_into().unwrap()),
        addresses: vec!["tcp://0.0.0.0:22000".into()],
        instance: 7,
    };
    let mut packet = unhex("2ea7d90b 0a20");
    packet.extend(0..32);
    packet.extend(unhex("1213 7463703a2f2f302e302e302e303a3232303030 1807"));
    assert_eq!(announce.encode(), packet);
    assert_eq!(Announce::decode(&packet), Ok(announce));
    assert!(Announce::decode(&packet[1..]).is_err());
    assert!(Announce::decode(&unhex("2ea7d90b 1807")).is_err());
}

#[test]
fn greetings_that_are_none() {
    assert_eq!(Hello::decode(&unhex("2ea7d90b 00")), Ok(None));
    assert_eq!(Hello::decode(&unhex("2ea7d90b 0005 0a03")), Ok(None));
    assert_eq!(Hello::decode(&unhex("9f79bc40 0000")), Err(Error::TooOld));
    for text in [
        "474554202f20",
        "2ea7d90b 8000",
        "2ea7d90b 0002 0aff",
        "2ea7d90b 0003 0a01ff",
    ] {
        assert!(Hello::decode(&unhex(text)).is_err(), "{text}");
    }
}

fn index_of(file: &[u8]) -> Vec<u8> {
    let mut body = vec![0x12];
    let mut length = file.len();
    while length >= 0x80 {
        body.push(length as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend_from_slice(file);
    let mut bytes = unhex("0002 0801");
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// An entry with one thing changed, read again.
fn read_with(change: impl FnOnce(&mut FileInfo)) -> Result<FileInfo, Error> {
    let mut file = hello_file();
    change(&mut file);
    match one(&index_of(&file.encode()))? {
        Some(Message::Index(mut index)) => Ok(index.files.remove(0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries_for_which_a_connection_ends() {
    assert_eq!(read_with(|_| ()), Ok(hello_file()));
    for name in ["", "..", "/etc/passwd", "../a", "a//b", "a/", "a/./b"] {
        assert!(read_with(|file| file.name = name.into()).is_err(), "{name}");
    }
    assert!(read_with(|file| file.blocks = Blocks::default()).is_err());
    assert!(read_with(|file| file.deleted = true).is_err());
    assert!(read_with(|file| file.kind = Kind::Directory).is_err());
    assert!(read_with(|file| file.kind = Kind::Symlink).is_err());
    assert!(
        read_with(|file| file.size = 7 + u64::from(SMALLEST_BLOCK)).is_err(),
        "its one block does not make it up"
    );
    assert!(read_with(|file| file.block_size = 3 * SMALLEST_BLOCK).is_err());
    assert!(read_with(|file| file.platform = vec![0; 100_000]).is_err());
    assert!(read_with(|file| file.symlink_target = vec![0; 100_000]).is_err());
    let link = |file: &mut FileInfo| {
        (file.kind, file.blocks) = (Kind::Symlink, Blocks::default());
    };
    assert!(read_with(link).is_err(), "a link has no size");
}

#[test]
fn entries_that_are_fine() {
    let empty = read_with(|file| {
        (file.size, file.blocks) = (0, Blocks::new(Sha256::digest(b"").to_vec()).unwrap());
    });
    assert_eq!(empty.unwrap().blocks.len(), 1);
    let gone =
        read_with(|file| (file.size, file.blocks, file.deleted) = (0, Blocks::default(), true))
            .unwrap();
    assert!(gone.deleted && !gone.is_content());
    let directory = read_with(|file| {
        (file.size, file.blocks, file.kind) = (128, Blocks::default(), Kind::Directory);
    });
    assert_eq!(directory.unwrap().size, 0, "an old habit, tolerated");
    let ignored =
        read_with(|file| (file.blocks, file.invalid) = (Blocks::default(), true)).unwrap();
    assert!(ignored.invalid && ignored.blocks.is_empty() && ignored.size == 6);
    assert_eq!(
        read_with(|file| file.permissions = 0o7644)
            .unwrap()
            .permissions,
        0o644
    );
    assert_eq!(
        read_with(|file| file.modified = (-5, 999_999_999))
            .unwrap()
            .modified,
        (-5, 999_999_999)
    );
}

#[test]
fn frames_that_are_none() {
    assert!(one(&unhex("8000")).is_err());
    assert!(one(&unhex("0000 80000000")).is_err());
    assert!(one(&unhex("0000 1dcd6501")).is_err(), "500,000,001 bytes");
    assert!(one(&unhex("0004 08061002 00000000")).is_err());
    let mut small = Frames::new(1000);
    small.feed(&unhex("0002 0806 000003e9"));
    assert!(small.next().is_err(), "more than we want");
    for body in [
        "",
        "000000",
        "00000010 1161",
        "ffffffff 00",
        "0000ffff 1f6101000000",
        "00000001 10610161",
    ] {
        let body = unhex(body);
        let mut bytes = unhex("0004 08071001");
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&body);
        assert!(one(&bytes).is_err(), "{body:x?}");
    }
    assert_eq!(
        one(&unhex("0003 08e807 00000002 0801")),
        Ok(Some(Message::Unknown(1000))),
        "skipped, not refused"
    );
    assert!(
        one(&unhex("0002 0803 00000006 28818080 8001")).is_err(),
        "a size that is negative"
    );
    assert!(
        one(&unhex("0002 0803 00000005 2881808010")).is_err(),
        "more than 32 MiB"
    );
}

fn names() -> impl Strategy<Value = String> {
    "[a-zäß][a-z0-9 ._-]{0,9}(/[a-z0-9]{1,5}){0,3}"
}

fn files() -> impl Strategy<Value = FileInfo> {
    let facts = (
        names(),
        0_u64..1 << 33,
        any::<(i64, i32)>(),
        any::<[u64; 4]>(),
        0_u32..0o1000,
        0_u8..6,
    );
    (
        facts,
        any::<[u8; HASH]>(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(facts, hash, bytes)| {
            let (name, size, modified, [by, value, sequence, other], permissions, kind) = facts;
            let content = kind < 3;
            let block_size = block_size(size, None);
            let count = if content {
                size.div_ceil(u64::from(block_size)).max(1)
            } else {
                0
            };
            FileInfo {
                name,
                kind: [
                    Kind::File,
                    Kind::File,
                    Kind::File,
                    Kind::File,
                    Kind::Directory,
                    Kind::Symlink,
                ][usize::from(kind)],
                size: if content { size } else { 0 },
                permissions,
                no_permissions: permissions == 0,
                modified,
                modified_by: ShortId(by),
                deleted: kind == 3,
                invalid: false,
                version: Vector::new([(ShortId(by), value), (ShortId(other), 1)]),
                sequence: sequence >> 1,
                block_size: if content { block_size } else { SMALLEST_BLOCK },
                blocks: Blocks::new(hash.repeat(usize::try_from(count).unwrap())).unwrap(),
                symlink_target: if kind == 5 { bytes.clone() } else { Vec::new() },
                previous_blocks_hash: (by % 2 == 0).then_some(hash),
                platform: bytes,
                encrypted: false,
            }
        })
}

fn messages() -> impl Strategy<Value = Message> {
    let ids = any::<[u8; 32]>().prop_map(DeviceId);
    let devices = (
        ids,
        names(),
        prop::collection::vec(names(), 0..3),
        any::<(u64, u64)>(),
    )
        .prop_map(|(id, name, addresses, (max, index_id))| Device {
            id,
            name,
            addresses,
            max_sequence: max >> 1,
            index_id,
            encrypted: false,
        });
    let folders = (
        names(),
        names(),
        any::<bool>(),
        prop::collection::vec(devices, 0..4),
    )
        .prop_map(|(id, label, paused, devices)| {
            let stop_reason = if paused {
                StopReason::Paused
            } else {
                StopReason::Running
            };
            Folder {
                id,
                label,
                stop_reason,
                devices,
            }
        });
    prop_oneof![
        (prop::collection::vec(folders, 0..3), any::<bool>()).prop_map(|(folders, secondary)| {
            Message::ClusterConfig(ClusterConfig { folders, secondary })
        }),
        (
            prop::collection::vec(files(), 0..4),
            names(),
            any::<bool>(),
            any::<u32>()
        )
            .prop_map(|(files, folder, update, last)| {
                let prev_sequence = if update { u64::from(last) } else { 0 };
                Message::Index(Index {
                    update,
                    folder,
                    files,
                    last_sequence: u64::from(last) + 1,
                    prev_sequence,
                })
            }),
        (
            any::<i32>(),
            names(),
            names(),
            any::<u64>(),
            0_u32..=32 << 20,
            any::<[u8; HASH]>()
        )
            .prop_map(
                |(id, folder, name, offset, size, hash)| Message::Request(Request {
                    id,
                    folder,
                    name,
                    offset: offset >> 1,
                    size,
                    hash: hash.to_vec(),
                    from_temporary: id < 0,
                    block_no: size,
                })
            ),
        (any::<i32>(), prop::collection::vec(any::<u8>(), 0..500)).prop_map(|(id, data)| {
            let code = [
                Code::None,
                Code::Generic,
                Code::NoSuchFile,
                Code::InvalidFile,
            ][(id & 3) as usize];
            Message::Response(Response { id, data, code })
        }),
        Just(Message::Ping),
        "[a-z]{0,300}".prop_map(Message::Close),
    ]
}

proptest! {
    #[test]
    fn messages_come_back_in_pieces_of_any_length(
        sent in prop::collection::vec(messages(), 1..6),
        cuts in prop::collection::vec(1_usize..200, 1..20),
        how in 0_usize..3,
    ) {
        let how = [Compression::Metadata, Compression::Never, Compression::Always][how];
        let bytes: Vec<u8> = sent.iter().flat_map(|message| encode_frame(message, how)).collect();
        let (mut frames, mut came, mut rest) = (Frames::new(LARGEST_MESSAGE), Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            frames.feed(piece);
            while let Some(message) = frames.next().unwrap() {
                came.push(message);
            }
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(came, sent);
    }

    #[test]
    fn any_bytes_end_in_an_answer(bytes: Vec<u8>, kind in 0_u8..8, compressed: bool) {
        let mut frame = vec![0, 4, 0x08, kind, 0x10, u8::from(compressed)];
        frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        frame.extend_from_slice(&bytes);
        let _ = one(&frame);
        let _ = one(&bytes);
        let _ = Hello::decode(&bytes);
        let _ = Announce::decode(&bytes);
    }
}
