//! The network between two servers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sso_testkit::servers::Proxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// Too short for an answer that is held, long enough for one that is not: it is here already.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A server that answers each byte by itself, and tells the test what it has heard.
async fn echo() -> (SocketAddr, mpsc::UnboundedReceiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hear) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    heard.send(byte).unwrap();
                    stream.write_u8(byte).await.unwrap();
                }
            });
        }
    });
    (address, hear)
}

async fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    stream.write_u8(byte).await?;
    stream.read_u8().await
}

#[tokio::test]
async fn a_cut_network_resets_every_connection_until_it_is_mended() {
    let (server, _heard) = echo().await;
    let proxy = Proxy::start(server).unwrap();
    let mut before = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut before, 1).await.unwrap(), 1);
    proxy.cut();
    before.read_u8().await.unwrap_err();
    let during = async {
        let mut stream = TcpStream::connect(proxy.address()).await?;
        ask(&mut stream, 2).await
    };
    during.await.unwrap_err();
    proxy.mend();
    let mut after = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut after, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn a_frozen_network_delivers_everything_when_it_is_mended() {
    let (server, mut heard) = echo().await;
    let proxy = Proxy::start(server).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream, 1).await.unwrap(), 1);
    heard.recv().await.unwrap();
    proxy.freeze();
    timeout(A_MOMENT, ask(&mut stream, 2)).await.unwrap_err();
    assert!(heard.try_recv().is_err());
    proxy.mend();
    assert_eq!(stream.read_u8().await.unwrap(), 2);
}

#[tokio::test]
async fn frozen_answers_leave_the_server_to_hear_the_question() {
    let (server, mut heard) = echo().await;
    let proxy = Proxy::start(server).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.freeze_answers();
    stream.write_u8(7).await.unwrap();
    assert_eq!(heard.recv().await, Some(7));
    timeout(A_MOMENT, stream.read_u8()).await.unwrap_err();
    proxy.mend();
    assert_eq!(stream.read_u8().await.unwrap(), 7);
}

#[tokio::test]
async fn a_slow_network_delays_each_direction() {
    let (server, _heard) = echo().await;
    let proxy = Proxy::start(server).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.delay(Duration::from_millis(100));
    let started = Instant::now();
    assert_eq!(ask(&mut stream, 1).await.unwrap(), 1);
    assert!(started.elapsed() >= Duration::from_millis(200));
}
