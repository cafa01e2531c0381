//! What a real Syncthing said (`tests/record_bep.py`): every byte of it is understood, and no altered one is a crash.

use obhut_bep::{
    Code, FileInfo, Frames, Hello, Kind, LARGEST_MESSAGE, Message, SMALLEST_BLOCK, StopReason,
};
use sha2::{Digest, Sha256};

const RECORDED: &[u8] = include_bytes!("../../../tests/data/bep/syncthing-2.1.3.bin");

fn all(bytes: &[u8]) -> obhut_bep::Result<(Hello, Vec<Message>)> {
    let (hello, length) = Hello::decode(bytes)?.expect("a whole greeting");
    let mut frames = Frames::new(LARGEST_MESSAGE);
    frames.feed(&bytes[length..]);
    let mut found = Vec::new();
    while let Some(message) = frames.next()? {
        found.push(message);
    }
    Ok((hello, found))
}

fn entries(messages: &[Message]) -> Vec<&FileInfo> {
    messages
        .iter()
        .flat_map(|message| match message {
            Message::Index(index) => index.files.iter().collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn named<'a>(files: &[&'a FileInfo], name: &str) -> &'a FileInfo {
    files.iter().find(|file| file.name == name).unwrap()
}

#[test]
fn a_session_of_syncthing_2_1_3() {
    let (hello, messages) = all(RECORDED).unwrap();
    assert_eq!(
        (hello.device_name.as_str(), hello.client_name.as_str()),
        ("recorded", "syncthing")
    );
    assert_eq!(
        (hello.client_version.as_str(), hello.num_connections),
        ("v2.1.3", 3)
    );
    let Message::ClusterConfig(config) = &messages[0] else {
        panic!("{:?}", messages[0])
    };
    assert!(!config.secondary);
    let [folder] = &config.folders[..] else {
        panic!("{config:?}")
    };
    assert_eq!(
        (
            folder.id.as_str(),
            folder.label.as_str(),
            folder.stop_reason
        ),
        ("recorded", "Recorded", StopReason::Running)
    );
    let [own] = folder
        .devices
        .iter()
        .filter(|device| device.index_id != 0)
        .collect::<Vec<_>>()[..]
    else {
        panic!("{folder:?}")
    };
    assert_eq!(folder.devices.len(), 2);
    let Message::Index(index) = &messages[1] else {
        panic!("{:?}", messages[1])
    };
    assert!(
        !index.update,
        "we had nothing, so it takes the place of all"
    );
    assert_eq!(
        (index.last_sequence, index.prev_sequence),
        (own.max_sequence, 0)
    );
    let files = entries(&messages);
    assert_eq!(files.len(), 46);
    assert!(
        files
            .windows(2)
            .all(|pair| pair[0].sequence < pair[1].sequence)
    );
    assert!(files.iter().all(|file| file.modified_by == own.id.short()));
    assert!(
        files
            .iter()
            .all(|file| file.version.value(own.id.short()) > 1_700_000_000)
    );
}

#[test]
fn its_entries() {
    let (_, messages) = all(RECORDED).unwrap();
    let files = entries(&messages);
    let text = named(&files, "a.txt");
    assert_eq!(
        (text.kind, text.size, text.block_size, text.permissions),
        (Kind::File, 6, SMALLEST_BLOCK, 0o644)
    );
    assert_eq!(text.blocks.hashes(), Sha256::digest(b"hello\n").as_slice());
    let content: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(1024);
    let blocks = named(&files, "directory/blocks");
    let hashes: Vec<u8> = content
        .chunks(SMALLEST_BLOCK as usize)
        .flat_map(Sha256::digest)
        .collect();
    assert_eq!(
        (blocks.size, blocks.blocks.hashes()),
        (256 << 10, &hashes[..])
    );
    let empty = named(&files, "empty");
    assert_eq!(
        (empty.size, empty.blocks.hashes()),
        (0, Sha256::digest(b"").as_slice())
    );
    assert_eq!(
        (
            named(&files, "directory").kind,
            named(&files, "directory").size
        ),
        (Kind::Directory, 0)
    );
    let link = named(&files, "link");
    assert_eq!(
        (link.kind, &link.symlink_target[..], link.no_permissions),
        (Kind::Symlink, &b"a.txt"[..], true)
    );
    assert_eq!(named(&files, "ä").size, 6);
}

#[test]
fn its_answer() {
    let (_, messages) = all(RECORDED).unwrap();
    let answers: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            Message::Response(response) => Some(response),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].id, &answers[0].data[..], answers[0].code),
        (0, &b"hello\n"[..], Code::None)
    );
}

/// Fields that we leave out are those that say nothing; the rest is the same, byte for byte.
#[test]
fn what_we_write_is_what_it_wrote() {
    let (_, messages) = all(RECORDED).unwrap();
    for file in entries(&messages) {
        let bytes = file.encode();
        let again = obhut_bep::encode_frame(
            &Message::Index(obhut_bep::Index {
                files: vec![file.clone()],
                ..obhut_bep::Index::default()
            }),
            obhut_bep::Compression::Never,
        );
        assert!(again.windows(bytes.len()).any(|window| window == bytes));
        let mut frames = Frames::new(LARGEST_MESSAGE);
        frames.feed(&again);
        let Ok(Some(Message::Index(index))) = frames.next() else {
            panic!("{}", file.name)
        };
        assert_eq!(&index.files[0], file);
    }
}

#[test]
fn every_byte_of_it_altered_is_an_answer_or_an_error() {
    for at in 0..RECORDED.len() {
        let mut bytes = RECORDED.to_vec();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(Some((_, length))) = Hello::decode(&bytes) {
            let mut frames = Frames::new(1 << 20);
            frames.feed(&bytes[length..]);
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
