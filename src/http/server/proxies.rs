//! Where a request comes from, in the words of the proxies in front: `X-Forwarded-For`, and the
//! PROXY protocol (versions 1 and 2, as `HAProxy` specifies them).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use http::HeaderMap;
use proxy_header::{ParseConfig, io::ProxiedStream};
use tokio::net::TcpStream;

use crate::config::Network;

/// Whose word counts.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Where trusted proxies are.
    pub trusted: Vec<Network>,
    /// Whether their connections begin with a PROXY header.
    pub protocol: bool,
}

impl Proxies {
    /// Whether a connection from there must begin with a PROXY header.
    pub(super) fn announce(&self, peer: IpAddr) -> bool {
        self.protocol && self.trusts(peer)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Reads the PROXY header: whose connection it is, if it is not the proxy's own.
    pub(super) async fn read_header(
        stream: TcpStream,
    ) -> io::Result<(Option<SocketAddr>, ProxiedStream<TcpStream>)> {
        let stream = ProxiedStream::create_from_tokio(stream, ParseConfig::default()).await?;
        let source = stream.proxy_header().proxied_address().map(|address| address.source);
        Ok((source, stream))
    }

    /// The nearest address in `X-Forwarded-For` that is not a trusted proxy's; `peer`, when that
    /// is none itself.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let named = headers.get_all("x-forwarded-for").iter().rev();
        let named = named.filter_map(|value| value.to_str().ok());
        let mut nearest = peer;
        for address in named.flat_map(|value| value.rsplit(',')) {
            // Who puts nonsense there is the last one who is known.
            let Some(address) = read_address(address.trim()) else { break };
            nearest = address;
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }
}

/// An address as proxies write it: alone, or with a port (`192.0.2.1:1234`, `[2001:db8::1]:1234`).
fn read_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_its_neighbour() {
        let trusted = vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let proxies = Proxies { trusted, protocol: false };
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            proxies.client(peer.parse().unwrap(), &headers).to_string()
        };
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "no proxy of ours");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(client("::1", &["1.2.3.4", "198.51.100.7"]), "198.51.100.7", "two headers");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7:1234"]), "198.51.100.7", "Azure's");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:99"]), "2001:db8::1");
    }
}
