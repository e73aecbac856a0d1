//! Requests that are wrong before anybody looks at what they say.

use permafrost::coordinator::api::Control;
use permafrost_worker::protocol::{LeaseRequest, PROTOCOL_VERSION};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::support::{Coordinator, SLOW, answer, finish, id, introduction, noop, plan, refusal, report, status};

const ROUTES: [&str; 7] =
    ["/v1/workers", "/v1/lease", "/v1/report", "/v1/finish", "/v1/samples", "/v1/control", "/v1/submit"];

#[tokio::test]
async fn without_the_token_nothing_is_answered() {
    let coordinator = Coordinator::start(SLOW).await;
    let token = coordinator.client.endpoint().token.clone();
    let before = coordinator.content().await;
    let wrong = [
        None,
        Some(String::new()),
        Some("Bearer ".to_owned()),
        Some("Bearer wrong".to_owned()),
        Some(format!("Bearer {token}x")),
        Some(format!("Bearer {}", &token[1..])),
        Some(format!("bearer{token}")),
        Some(format!("Basic {token}")),
    ];
    for path in ROUTES {
        for header in &wrong {
            let mut request = coordinator.request(Method::POST, path).header("content-type", "application/json");
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let (status, text) = answer(request.body("\"ping\"")).await;
            assert_eq!(status, 401, "{path} {header:?}");
            let refusal = refusal(status, &text);
            assert!(refusal.cure.is_some() && !text.contains(&token), "{text}");
        }
    }
    assert_eq!(coordinator.content().await, before);
    coordinator.assert_serves().await;
    coordinator.end().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let before = coordinator.content().await;
    let deep = "[".repeat(100_000);
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "\"dance\"",
        "{\"worker\": 5}",
        "{\"worker\": \"no uuid\", \"capacity\": {}}",
        "{\"worker\": \"00000000-0000-0000-0000-000000000000\", \"capacity\": {\"noop\": -1}}",
        "{\"worker\": \"00000000-0000-0000-0000-000000000000\", \"capacity\": {\"dance\": 1}}",
        "{\"worker\": \"00000000-0000-0000-0000-000000000000\", \"members\": [{\"trial\": \"abc\"}]}",
        "{\"retry\": [\"no identity\"]}",
        "\u{0}",
        &deep,
    ];
    for path in ROUTES {
        for body in bodies {
            let (status, text) = coordinator.post(path, body.to_owned()).await;
            refusal(status, &text);
        }
        let request = coordinator.request(Method::POST, path).bearer_auth(&coordinator.client.endpoint().token);
        let (status, text) = answer(request.header("content-type", "text/plain").body("\"ping\"")).await;
        assert_eq!(status, 415);
        refusal(status, &text);
    }
    // A number that no f64 holds.
    let mut body = serde_json::to_value(finish(Uuid::new_v4(), id(&noop(1, &[])), 1, 0.5)).unwrap();
    body["members"][0]["outcome"]["done"]["summary"]["value"] = serde_json::Value::Null;
    let null = body.to_string();
    for text in [null.replace("\"value\":null", "\"value\":1e999"), null] {
        let (status, text) = coordinator.post("/v1/finish", text).await;
        refusal(status, &text);
    }
    assert_eq!(coordinator.content().await, before);
    coordinator.assert_serves().await;
    coordinator.end().await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let token = coordinator.client.endpoint().token.clone();
    for (method, path, expected) in [
        (Method::POST, "/v1/dance", 404),
        (Method::GET, "/", 404),
        (Method::GET, "/v1/lease", 405),
        (Method::DELETE, "/v1/submit", 405),
    ] {
        let (status, text) = answer(coordinator.request(method, path).bearer_auth(&token)).await;
        assert_eq!(status, expected, "{path}");
        refusal(status, &text);
    }
    coordinator.assert_serves().await;
    coordinator.end().await;
}

/// Sends spaces until nobody takes them any more, and reads the answer.
async fn overflow(coordinator: &Coordinator, path: &str, chunked: bool) -> String {
    const MEGABYTES: usize = 20;
    let endpoint = coordinator.client.endpoint();
    let mut stream = tokio::net::TcpStream::connect(&endpoint.address).await.unwrap();
    let length =
        if chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {}", MEGABYTES << 20) };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
        endpoint.address, endpoint.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut chunk = vec![b' '; 1 << 20];
    if chunked {
        chunk.splice(0..0, b"100000\r\n".iter().copied());
        chunk.extend(b"\r\n");
    }
    for _ in 0..MEGABYTES {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        answer.extend_from_slice(&part[..count]);
        if answer.ends_with(b"}") {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let before = coordinator.content().await;
    // A plan may be larger: `/v1/submit` takes 256 MB, which is too much for a test.
    for path in &ROUTES[..5] {
        for chunked in [false, true] {
            let answer = overflow(&coordinator, path, chunked).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer:?}");
            refusal(413, answer.split("\r\n\r\n").nth(1).unwrap());
        }
    }
    assert_eq!(coordinator.content().await, before);
    coordinator.assert_serves().await;
    coordinator.end().await;
}

#[tokio::test]
async fn unknown_workers_are_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let (worker, stranger) = (coordinator.register().await, Uuid::new_v4());
    let lease = coordinator.lease(worker).await.remove(0);
    let request = LeaseRequest { worker: stranger, capacity: [].into() };
    let answers = [
        coordinator.refused("/v1/lease", &request).await,
        coordinator.refused("/v1/report", &report(stranger, lease.trial, lease.attempt)).await,
        coordinator.refused("/v1/finish", &finish(stranger, lease.trial, lease.attempt, 9.0)).await,
    ];
    for (status, refusal) in answers {
        assert_eq!(status, 409);
        assert!(refusal.message.contains(&stranger.to_string()) && refusal.cure.is_some(), "{refusal:?}");
    }
    // A worker that is known, but does not hold this lease.
    let other = coordinator.register().await;
    let reply = coordinator.client.report(&report(other, lease.trial, lease.attempt)).await.unwrap();
    assert_eq!(reply.stop, [(lease.trial, permafrost_worker::protocol::Stop::Lost)]);
    let reply = coordinator.client.finish(&finish(other, lease.trial, lease.attempt, 9.0)).await.unwrap();
    assert_eq!(reply.members, [permafrost_worker::protocol::Verdict::Refused]);
    assert_eq!(coordinator.number("SELECT count(*) FROM results").await, 0);
    coordinator.client.finish(&finish(worker, lease.trial, lease.attempt, 0.5)).await.unwrap();
    assert_eq!(coordinator.number("SELECT count(*) FROM results WHERE value = 0.5").await, 1);
    coordinator.end().await;
}

#[tokio::test]
async fn workers_of_other_versions_are_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let worker = Uuid::new_v4();
    let mut protocol = introduction(worker);
    protocol.protocol = PROTOCOL_VERSION + 1;
    let mut program = introduction(worker);
    program.program = "0.0.0".to_owned();
    for register in [protocol, program] {
        let (status, refusal) = coordinator.refused("/v1/workers", &register).await;
        assert_eq!(status, 409);
        assert!(refusal.cure.is_some(), "{refusal:?}");
    }
    let error = coordinator.client.lease(&LeaseRequest { worker, capacity: [].into() }, || true).await.unwrap_err();
    assert_eq!(status(error), 409, "a worker that was refused is registered all the same");
    coordinator.control(Control::Ping).await;
    coordinator.end().await;
}
