//! The public listener of this configuration, as a program on this machine reaches it: with the PROXY
//! header that is wanted from here, and whatever certificate it shows.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::config::Server;

/// Why nothing was answered.
pub(super) type Failed = Box<dyn Error + Send + Sync>;

/// What a proxy says of a connection that is its own: there is no client to name.
const OWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// Where a program on this machine reaches a listener.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, listen.port())
}

/// The address of the listener, as people write it.
pub(super) fn url(server: &Server) -> String {
    let scheme = if server.tls.is_set() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(server.listen))
}

/// Connects, and says what a proxy says where one is expected at this end.
pub(super) async fn connect(server: &Server) -> io::Result<TcpStream> {
    let mut tcp = TcpStream::connect(reachable(server.listen)).await?;
    let here = tcp.local_addr()?.ip();
    if server.proxy_protocol && server.trusted_proxies.iter().any(|proxy| proxy.contains(here)) {
        tcp.write_all(OWN).await?;
    }
    Ok(tcp)
}

/// Connects, and has the listener show its certificate where it has one. Nothing is asked, so whoever
/// has no certificate of a client's may do so.
///
/// # Errors
/// When nobody is there, or nobody who speaks TLS where it should.
pub(super) async fn knock(server: &Server) -> Result<(), Failed> {
    let tcp = connect(server).await?;
    if server.tls.is_set() {
        let witness = Arc::new(Witness::default());
        let shaken = witness.shake(tcp, own_name(server)).await;
        if witness.shown().is_none() {
            shaken?;
        }
    }
    Ok(())
}

/// What the listener answers to a request whose URI is a path.
///
/// # Errors
/// When nothing is answered.
pub(super) async fn ask(
    server: &Server,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failed> {
    let host = HeaderValue::from_str(&reachable(server.listen).to_string())?;
    request.headers_mut().insert(HOST, host);
    let tcp = connect(server).await?;
    if server.tls.is_set() {
        let tls = Arc::new(Witness::default()).shake(tcp, own_name(server)).await?;
        Ok(exchange(tls, request).await?)
    } else {
        Ok(exchange(tcp, request).await?)
    }
}

/// The certificate is another name's, and nobody looks.
pub(super) fn own_name(server: &Server) -> ServerName<'static> {
    ServerName::from(reachable(server.listen).ip())
}

async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender, whom its errors are told to.
    tokio::spawn(async { drop(connection.await) });
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// Takes note of the certificate, and accepts whatever it is.
#[derive(Debug, Default)]
pub(super) struct Witness {
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl Witness {
    /// Shakes hands. The certificate is shown before it is known whether the client is let in.
    pub(super) async fn shake(
        self: &Arc<Self>,
        tcp: TcpStream,
        name: ServerName<'static>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// The certificate that was shown.
    pub(super) fn shown(&self) -> Option<CertificateDer<'static>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(certificate.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
