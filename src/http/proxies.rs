//! What proxies say of a request. They are believed only if they are among `TRUSTED_PROXIES`.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::IpAddr;

/// The client's address: the peer's, or, behind trusted proxies, the nearest address in
/// `X-Forwarded-For` that is not a trusted proxy's.
pub fn remote_address(request: &HttpRequest, trusted: &[IpNet]) -> Option<String> {
    let peer = request.peer_addr()?.ip().to_canonical();
    Some(walk(peer, request.headers(), trusted).0.to_string())
}

/// The hosts that trusted proxies were asked for. Each of them adds one at the end, or puts its own
/// in the place of what was there: as many count as there are trusted proxies in a row.
pub fn forwarded_hosts(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Vec<String> {
    let Some(peer) = peer else { return Vec::new() };
    let (_, proxies) = walk(peer.to_canonical(), headers, trusted);
    let mut hosts = listed(headers, &header::X_FORWARDED_HOST);
    hosts.split_off(hosts.len().saturating_sub(proxies))
}

/// From the peer back to the first that is no trusted proxy: its address, and how many were passed.
fn walk(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> (IpAddr, usize) {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let (mut client, mut proxies) = (peer, usize::from(is_trusted(&peer)));
    for forwarded in listed(headers, &header::X_FORWARDED_FOR).into_iter().rev() {
        if !is_trusted(&client) {
            break;
        }
        let Ok(address) = forwarded.parse::<IpAddr>() else { break };
        client = address.to_canonical();
        proxies += usize::from(is_trusted(&client));
    }
    (client, proxies)
}

/// The elements of a header that is a list, over all its lines.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|element| element.trim().to_owned()).collect()
}
