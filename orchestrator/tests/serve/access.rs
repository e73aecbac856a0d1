//! Who may read, and what a browser is told to allow.

use std::net::Ipv4Addr;

use reqwest::StatusCode;

use crate::support::World;

#[tokio::test]
async fn every_response_forbids_what_the_page_does_not_need() {
    let world = World::new().await;
    let paths =
        ["/", "/grid", "/assets/main.js", "/api/overview", "/api/nothing", "/nothing", "/api/trial/zz", "/api/live"];
    for path in paths {
        let response = world.get(path).await;
        let headers = response.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
    }
    assert_eq!(world.get("/nothing").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.get("/assets/../Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    let posted = world.client.post(format!("{}/api/sql", world.base)).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn other_names_and_other_sites_are_refused() {
    let world = World::new().await;
    let ask = |name: &'static str, value: &'static str| {
        world.client.get(format!("{}/api/overview", world.base)).header(name, value).send()
    };
    // DNS rebinding: a page of another name that points here.
    assert_eq!(ask("host", "evil.example").await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(ask("host", "localhost:9999").await.unwrap().status(), StatusCode::OK);
    assert_eq!(ask("origin", "http://evil.example").await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(ask("sec-fetch-site", "cross-site").await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn beyond_loopback_a_token_is_required() {
    let home = tempfile::tempdir().unwrap();
    let world = World::serve(home, Ipv4Addr::UNSPECIFIED.into(), false).await;
    let token = std::fs::read_to_string(world.home.path().join("serve.token")).unwrap();
    let token = token.trim();
    assert!(world.url.ends_with(&format!("/?token={token}")), "{}", world.url);
    let (status, _, cure) = world.refusal("/api/site").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(cure.contains("serve.token"), "{cure}");
    assert_eq!(world.refusal("/metrics").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.refusal("/api/live").await.0, StatusCode::UNAUTHORIZED);
    let page = world.get("/").await;
    assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
    assert!(page.text().await.unwrap().contains("A token is required"));
    assert_eq!(world.get("/assets/main.js").await.status(), StatusCode::UNAUTHORIZED);
    let wrong = world.get("/?token=wrong").await;
    assert_eq!((wrong.status(), wrong.headers().get("set-cookie")), (StatusCode::UNAUTHORIZED, None));
    assert_eq!(world.get("/assets/login.js").await.status(), StatusCode::OK);

    let login = world.get(&format!("/grid?token={token}&row=text")).await;
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    assert_eq!(login.headers()["location"], "/grid?row=text");
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    // Links in chats and mails lead here, too, for who is logged in.
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains(token), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let with = |name: &'static str, value: String| {
        world.client.get(format!("{}/api/site", world.base)).header(name, value).send()
    };
    assert_eq!(with("cookie", cookie.to_owned()).await.unwrap().status(), StatusCode::OK);
    // Another server of this host keeps its cookie beside ours.
    assert_eq!(with("cookie", format!("permafrost-0123456789ab=x; {cookie}")).await.unwrap().status(), StatusCode::OK);
    let other = cookie.replace("permafrost-", "permafrost-0");
    assert_eq!(with("cookie", other).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(with("cookie", "permafrost=x".to_owned()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(with("authorization", format!("Bearer {token}")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(with("authorization", format!("bEARER {token}")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(with("authorization", "Bearer x".to_owned()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_of_ones_own_may_have_signs_that_addresses_write_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("serve.token");
    std::fs::write(&path, "q+Zr/0123456789&abcdef#0123%41xyz==\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let world = World::serve(home, Ipv4Addr::LOCALHOST.into(), true).await;
    let coded = "q%2BZr%2F0123456789%26abcdef%230123%2541xyz%3D%3D";
    assert!(world.url.ends_with(&format!("/?token={coded}")), "{}", world.url);
    let login = world.get(&format!("/grid?token={coded}&row=text")).await;
    assert_eq!(
        (login.status(), &login.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/grid?row=text".parse().unwrap())
    );
    assert_eq!(world.get(&format!("/?token={}", coded.to_lowercase())).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_link_of_another_site_leads_who_is_logged_in_to_the_page() {
    let world = World::serve(tempfile::tempdir().unwrap(), Ipv4Addr::LOCALHOST.into(), true).await;
    let follow = |address: String, cookie: String| {
        let request = world.client.get(address).header("sec-fetch-site", "cross-site").header("cookie", cookie);
        request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document").send()
    };
    let login = follow(world.url.clone(), String::new()).await.unwrap();
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(follow(format!("{}/grid", world.base), cookie.clone()).await.unwrap().status(), StatusCode::OK);
    // What another site asks for itself is refused even so.
    let image = world.client.get(format!("{}/api/overview", world.base)).header("cookie", cookie);
    let image = image.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors").send().await.unwrap();
    assert_eq!(image.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_may_be_required_on_loopback_too() {
    let world = World::serve(tempfile::tempdir().unwrap(), Ipv4Addr::LOCALHOST.into(), true).await;
    assert_eq!(world.get("/api/site").await.status(), StatusCode::UNAUTHORIZED);
    assert!(world.url.contains("?token="));
}
