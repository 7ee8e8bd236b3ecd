//! The member's side of joining, on one connection.
//!
//! Not for who may: the token proves that someone was invited, the agent decides.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message;
use quinn::{Connection, RecvStream, SendStream};
use tokio::{net::UdpSocket, sync::oneshot, time::timeout};

use super::{
    Decision, JoinDesk, JoinRequest,
    desk::Claim,
    message::{
        Answer, ECHO_BYTES, EXPORTER_LABEL, MAX_BOOTSTRAP_BYTES, MAX_REQUEST_BYTES, Request,
    },
    token::Side,
};
use crate::{EventSink, MAX_LINKS, NodeName, TransportEvent, pki::key_fingerprint};

/// Packets to each address: one may be lost.
const ECHOES: usize = 3;
/// How long someone may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the agent may take to decide: it has to ask the cluster.
const DECISION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the answer may take to arrive.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one connection of a node that wants to join; `Err` says in words why it was not let in.
pub(crate) async fn serve(
    connection: &Connection,
    desk: &JoinDesk,
    sink: &Arc<dyn EventSink>,
    level: u32,
) -> Result<(), String> {
    let (mut send, request) = timeout(REQUEST_TIMEOUT, read_request(connection))
        .await
        .map_err(|_elapsed| "it sent no request to join".to_owned())??;
    let mut session = [0; 32];
    connection
        .export_keying_material(&mut session, EXPORTER_LABEL, &[])
        .map_err(|error| format!("{error:?}"))?;
    let outcome = answer_to(
        &request,
        &session,
        desk,
        sink,
        (connection.remote_address(), level),
    )
    .await;
    let (answer, claim, result) = match outcome {
        Ok((answer, claim)) => (answer, Some(claim), Ok(())),
        Err(refusal) => {
            let answer = Answer {
                refused: refusal.clone(),
                ..Answer::default()
            };
            (answer, None, Err(refusal))
        }
    };
    let delivered = timeout(ANSWER_TIMEOUT, deliver(&mut send, &answer)).await;
    // Spent even when the answer got lost: the agent has let that node in already.
    if let Some(claim) = claim
        && request.echo.is_empty()
    {
        claim.spend();
    }
    match delivered {
        Ok(Ok(())) => result,
        Ok(Err(why)) => Err(why),
        Err(_) => Err("it did not take the answer".to_owned()),
    }
}

impl Answer {
    /// What a member says of itself.
    fn about(feature_level: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        Self {
            wall_ms: since
                .and_then(|since| u64::try_from(since.as_millis()).ok())
                .unwrap_or(0),
            feature_level,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Self::default()
        }
    }
}

async fn read_request(connection: &Connection) -> Result<(SendStream, Request), String> {
    let (send, mut receive) = connection
        .accept_bi()
        .await
        .map_err(|error| error.to_string())?;
    let bytes = read_all(&mut receive, MAX_REQUEST_BYTES).await?;
    let request = Request::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    Ok((send, request))
}

pub(super) async fn read_all(receive: &mut RecvStream, max: usize) -> Result<Vec<u8>, String> {
    receive
        .read_to_end(max)
        .await
        .map_err(|error| error.to_string())
}

async fn deliver(send: &mut SendStream, answer: &Answer) -> Result<(), String> {
    send.write_all(&answer.encode_to_vec())
        .await
        .map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())?;
    // Until it is acknowledged: closing the connection earlier would lose it.
    match send.stopped().await {
        Ok(_) => Ok(()),
        // The other end closes as soon as it has everything.
        Err(_) => Ok(()),
    }
}

async fn answer_to(
    request: &Request,
    session: &[u8; 32],
    desk: &JoinDesk,
    sink: &Arc<dyn EventSink>,
    (from, level): (SocketAddr, u32),
) -> Result<(Answer, Claim), String> {
    let proven = request.proven_bytes();
    // One answer for every reason: it tells a guesser nothing.
    let claim = desk
        .claim(session, &proven, &request.proof)
        .ok_or("the token is wrong, used, being used, or expired: make a new one on a member")?;
    let name = NodeName::new(&request.name).map_err(|error| error.to_string())?;
    if !request.echo.is_empty() {
        echo(request).await?;
        let answer = Answer {
            proof: claim.token.prove(Side::Member, session, &proven),
            ..Answer::about(level)
        };
        return Ok((answer, claim));
    }
    let certificate = claim
        .authority
        .sign(&name, &request.signing_request)
        .map_err(|error| error.to_string())?;
    let key = key_fingerprint(&certificate).ok_or("its key is of no use")?;
    let (bootstrap, share_authority) = ask_agent(request, (name, key), sink, from).await?;
    if bootstrap.len() > MAX_BOOTSTRAP_BYTES {
        return Err("the cluster's data is too long to hand over".to_owned());
    }
    let authority_key_pem = if share_authority {
        claim.authority.key_pem().to_owned()
    } else {
        String::new()
    };
    let answer = Answer {
        refused: String::new(),
        certificate: certificate.to_vec(),
        authority_key_pem,
        bootstrap,
        proof: claim.token.prove(Side::Member, session, &proven),
        ..Answer::about(level)
    };
    Ok((answer, claim))
}

/// Sends what was asked for to each address that the joiner says it has: what arrives there shows that
/// neither the address is wrong nor a firewall in the way. Only for whoever has a token.
async fn echo(request: &Request) -> Result<(), String> {
    if request.echo.len() != ECHO_BYTES || request.addresses.len() > MAX_LINKS {
        return Err("its request to check makes no sense".to_owned());
    }
    for address in &request.addresses {
        let address: SocketAddr = address.parse().map_err(|_error| "not an address")?;
        let any: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        // One that cannot be sent does not arrive: that is the answer.
        if let Ok(socket) = UdpSocket::bind(any).await {
            for _ in 0..ECHOES {
                drop(socket.send_to(&request.echo, address).await);
            }
        }
    }
    Ok(())
}

async fn ask_agent(
    request: &Request,
    (name, key): (NodeName, String),
    sink: &Arc<dyn EventSink>,
    from: SocketAddr,
) -> Result<(bytes::Bytes, bool), String> {
    let addresses: Option<Vec<SocketAddr>> = request
        .addresses
        .iter()
        .map(|address| address.parse().ok())
        .collect();
    let addresses = addresses
        .filter(|addresses| (1..=MAX_LINKS).contains(&addresses.len()))
        .ok_or("its addresses are not valid")?;
    let (answer, decision) = oneshot::channel();
    let event = TransportEvent::Join(JoinRequest {
        name,
        addresses,
        feature_level: request.feature_level,
        from,
        key,
        witness: request.witness,
        answer,
    });
    sink.offer(event)
        .map_err(|_elapsed| "this member is busy: try again")?;
    match timeout(DECISION_TIMEOUT, decision).await {
        Ok(Ok(Decision::Accept {
            bootstrap,
            share_authority,
        })) => Ok((bootstrap, share_authority)),
        Ok(Ok(Decision::Refuse(reason))) => Err(reason),
        Ok(Err(_)) => Err("this member does not take new nodes".to_owned()),
        Err(_) => Err("this member could not decide in time: try again".to_owned()),
    }
}
