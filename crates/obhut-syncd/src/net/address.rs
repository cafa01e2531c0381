//! Where devices are, as people and other devices write it.

use std::net::SocketAddr;

/// The port that devices listen on.
const PORT: u16 = 22000;
/// Addresses of one name that are tried.
const RESOLVED: usize = 8;

/// Which addresses of a name count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Four,
    Six,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// What local discovery finds.
    Dynamic,
    /// A name, or an IP address without brackets, and a port.
    Tcp {
        family: Family,
        host: String,
        port: u16,
    },
}

impl Address {
    /// Reads one; what is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "dynamic" {
            return Ok(Self::Dynamic);
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("no address: it has to be tcp://HOST:PORT, or dynamic")?;
        let family = match scheme {
            "tcp" => Family::Any,
            "tcp4" => Family::Four,
            "tcp6" => Family::Six,
            "quic" | "quic4" | "quic6" | "relay" => {
                return Err(format!("{scheme} is not spoken yet"));
            }
            _ => return Err(format!("{scheme} is no protocol of devices")),
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = split(place).ok_or("the host or the port of it is none")?;
        Ok(Self::Tcp {
            family,
            host: host.to_owned(),
            port,
        })
    }
}

/// Host and port, of `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT`.
fn split(place: &str) -> Option<(&str, u16)> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        match port {
            "" => (host, None),
            _ => (host, Some(port.strip_prefix(':')?)),
        }
    } else {
        match place.split_once(':') {
            None => (place, None),
            Some((_, rest)) if rest.contains(':') => return None,
            Some((host, port)) => (host, Some(port)),
        }
    };
    let port = match port {
        None | Some("") => PORT,
        Some(digits) => digits.parse().ok()?,
    };
    Some((host, port))
}

/// What a name stands for now.
pub(super) async fn resolve(
    family: Family,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| format!("no address of {host}: {e}"))?;
    let found: Vec<SocketAddr> = found
        .filter(|one| match family {
            Family::Any => true,
            Family::Four => one.is_ipv4(),
            Family::Six => one.is_ipv6(),
        })
        .take(RESOLVED)
        .collect();
    if found.is_empty() {
        return Err(format!("no address of {host} of that kind"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(family: Family, host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Tcp { family, host, port }
    }

    #[test]
    fn addresses_as_people_write_them() {
        let cases = [
            ("dynamic", Address::Dynamic),
            ("tcp://host", tcp(Family::Any, "host", 22000)),
            ("tcp://host:", tcp(Family::Any, "host", 22000)),
            ("tcp://1.2.3.4:5", tcp(Family::Any, "1.2.3.4", 5)),
            ("tcp4://host:5/?a=b", tcp(Family::Four, "host", 5)),
            ("tcp6://[::1]:5", tcp(Family::Six, "::1", 5)),
            (
                "tcp://[fe80::1%eth0]",
                tcp(Family::Any, "fe80::1%eth0", 22000),
            ),
            ("tcp://:22001", tcp(Family::Any, "", 22001)),
        ];
        for (text, wanted) in cases {
            assert_eq!(Address::parse(text), Ok(wanted), "{text}");
        }
        for wrong in [
            "",
            "host",
            "host:1",
            "tcp://::1",
            "tcp://[::1",
            "tcp://[::1]5",
            "tcp://a:b",
            "tcp://a:65536",
            "http://a",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        let said = Address::parse("quic://host:1").unwrap_err();
        assert_eq!(said, "quic is not spoken yet");
    }
}
