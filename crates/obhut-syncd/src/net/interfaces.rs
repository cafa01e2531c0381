//! Where announcements go: the nets that this host is in, as Linux lists them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The group of local discovery.
pub(super) const GROUP: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 0x8384);
/// The kernel's flag of a route that is in use.
const UP: u32 = 1;

/// Each net's broadcast address, or the one for any net.
pub(super) fn broadcasts(port: u16) -> Vec<SocketAddr> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mut found = parse_routes(&routes);
    if found.is_empty() {
        found.push(Ipv4Addr::BROADCAST);
    }
    let sockets = found.into_iter().map(|one| (one, port).into());
    sockets.collect()
}

/// The group in each net that has a link-local address of ours.
pub(super) fn groups(port: u16) -> Vec<SocketAddrV6> {
    let listed = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let interfaces = parse_interfaces(&listed).into_iter();
    interfaces
        .map(|interface| SocketAddrV6::new(GROUP, port, 0, interface))
        .collect()
}

/// Lines of `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal, addresses in the order of
/// the host's bytes. Nets that we are in have no gateway.
fn parse_routes(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| {
            let field = fields.get(at)?;
            u32::from_str_radix(field, 16).ok()
        };
        let (Some(net), Some(0), Some(flags), Some(mask)) =
            (number(1), number(2), number(3), number(7))
        else {
            continue;
        };
        // Without a part for hosts, or without one for the net, it has no broadcast address.
        let has_hosts = u32::from_be(mask.to_be()).count_zeros() > 1 && mask != 0;
        let broadcast = Ipv4Addr::from((net | !mask).to_ne_bytes());
        if flags & UP != 0 && has_hosts && !found.contains(&broadcast) {
            found.push(broadcast);
        }
    }
    found
}

/// Lines of `address index prefix scope flags name`, numbers in hexadecimal. Scope 20 is that of a link.
fn parse_interfaces(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, index, _, "20", ..] = fields[..]
            && let Ok(index) = u32::from_str_radix(index, 16)
            && !found.contains(&index)
        {
            found.push(index);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn nets_of_a_host() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            wg0\t0200000A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n\
            nonsense\n";
        assert_eq!(parse_routes(text), [Ipv4Addr::new(192, 168, 1, 255)]);
    }

    #[test]
    fn links_of_a_host() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fe800000000000000000000000000001 0a 40 20 80     eth0\n\
            fe800000000000000000000000000002 0a 40 20 80     eth0\n\n";
        assert_eq!(parse_interfaces(text), [10]);
    }
}
