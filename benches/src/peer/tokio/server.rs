//! The echo server.

use super::runtime;
use crate::peer::{BUFFER, Sample, listening};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::spawn;

pub(super) fn serve(sample: &Sample) -> io::Result<()> {
    let sample = *sample;
    let runtime = runtime(&sample)?;
    let accepting = runtime.spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            spawn(echo(stream, sample));
        }
    });
    runtime.block_on(accepting).map_err(io::Error::other)?
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
