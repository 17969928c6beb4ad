//! The echo server.

use super::{spawn, start};
use crate::peer::{BUFFER, Sample, listening};
use smol::block_on;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use std::io;

pub(super) fn serve(sample: &Sample) -> io::Result<()> {
    let sample = *sample;
    start(&sample)?;
    block_on(spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            spawn(echo(stream, sample)).detach();
        }
    }))
}

async fn echo(mut stream: TcpStream, sample: Sample) {
    let mut buffer = [0; BUFFER];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        sample.answer();
        if stream.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}
