//! News, and a database that comes late.

use std::{net::Ipv4Addr, time::Duration};

use permafrost::store::{Change, DATABASE, Store};
use reqwest::StatusCode;

use crate::{
    database,
    support::{SMALL, World},
};

/// Waits for an event that has this text.
pub async fn hear(stream: &mut reqwest::Response, wanted: &str) {
    let waiting = async {
        let mut heard = String::new();
        while !heard.contains(wanted) {
            let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
            heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("no {wanted}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_at_once() {
    let world = World::new().await;
    let mut stream = world.get("/api/live").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    hear(&mut stream, "event: news").await;
    let store = Store::open(&world.home.path().join(DATABASE)).await.unwrap();
    let event = Change::Event { kind: "test", trial: None, detail: "hello".to_owned() };
    store.apply(vec![event]).await.unwrap();
    hear(&mut stream, "\"events\":true").await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_opened_before_there_is_a_database() {
    let world = World::serve(tempfile::tempdir().unwrap(), Ipv4Addr::LOCALHOST.into(), false).await;
    let (status, message, cure) = world.refusal("/api/overview").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(message.contains("there is no database") && cure.contains("launch a sweep"), "{message} {cure}");
    assert_eq!(world.get("/").await.status(), StatusCode::OK);
    // A page asks this first; that nothing was launched yet is no error.
    let sweeps = world.json("/api/sweeps").await;
    assert_eq!((&sweeps["total"], sweeps["shown"].is_null()), (&0.into(), true));
    let mut stream = world.get("/api/live").await;
    hear(&mut stream, "\"missing\":true").await;
    database::make(world.home.path(), SMALL, "late").await.unwrap();
    hear(&mut stream, "\"sweeps\":true").await;
    assert_eq!(world.json("/api/overview").await["sweep"]["name"], "late");
    // Another file in its place is another database.
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(world.home.path().join(format!("{DATABASE}{end}"))).ok();
    }
    database::make(world.home.path(), SMALL, "another").await.unwrap();
    assert_eq!(world.json("/api/overview").await["sweep"]["name"], "another");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let stream = world.get("/api/live").await;
        assert_eq!(stream.status(), StatusCode::OK);
        open.push(stream);
    }
    let (status, message, _) = world.refusal("/api/live").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(message.contains("64 pages"), "{message}");
    open.clear();
    let freed = async {
        while world.get("/api/live").await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap();
}
