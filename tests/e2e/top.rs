//! `permafrost top`: once, as JSON, and on a real terminal.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{self, World, busy, launch, noop};

#[test]
fn one_look_says_how_far_a_sweep_is() {
    let world = World::new();
    let (_, stderr) = world.expect(1, &["top", "--once"]);
    assert!(stderr.contains("there is no database") && stderr.contains("launch a sweep"), "{stderr}");
    let child = busy(&world);
    while world.number("SELECT count(*) FROM metrics") < 8 {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Without a terminal it needs no option.
    let (text, _) = world.expect(0, &["top"]);
    assert!(text.contains("x (revision 1") && text.contains("running") && text.contains("cpu"), "{text}");
    let (json, _) = world.expect(0, &["top", "x", "--json"]);
    let seen: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(seen["sweep"]["name"], "x");
    assert_eq!(seen["running"].as_array().unwrap().len(), 2);
    assert!(seen["running"][0]["curve"].as_array().unwrap().len() >= 2, "{seen}");
    assert_eq!(seen["stages"][0]["running"], 2);
    assert!(seen["left"]["ms"].as_i64().is_none_or(|ms| (1..200_000).contains(&ms)), "{seen}");
    assert!(seen["coordinator"]["pid"].is_u64() && seen["devices"][0]["name"] == "cpu", "{seen}");
    let (_, stderr) = world.expect(1, &["top", "y", "--once"]);
    assert!(stderr.contains("no sweep `y`"), "{stderr}");
    support::end(child);
}

#[test]
fn a_screen_comes_and_goes() {
    if Command::new("script").arg("--version").output().is_err() {
        writeln!(std::io::stderr().lock(), "skipped a_screen_comes_and_goes: there is no `script` to make a terminal")
            .unwrap();
        return;
    }
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2, 3]}, end: {values: [done, input]}"));
    world.expect(3, &launch("x.yaml"));
    let program = format!("{} --home {} top", env!("CARGO_BIN_EXE_permafrost"), world.home().display());
    for (keys, code, wanted) in [("\t\r", 0, "index"), ("?", 0, "Keys"), ("\u{3}", 0, "Stages")] {
        let command = format!("stty rows 30 cols 100; exec {program}");
        let mut child = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                seen.extend_from_slice(&buffer[..count]);
                sender.send(String::from_utf8_lossy(&seen).into_owned()).ok();
            }
            String::from_utf8_lossy(&seen).into_owned()
        });
        let until = |what: &str| loop {
            let seen =
                receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("`{what}` is not seen"));
            if seen.contains(what) {
                return;
            }
        };
        // Not before the first snapshot: until then there is nothing to open.
        until("Without result");
        stdin.write_all(keys.as_bytes()).unwrap();
        if keys != "\u{3}" {
            until(wanted);
            // The help closes first; then there is nothing left to be typed to.
            stdin.write_all(b"q").ok();
            std::thread::sleep(Duration::from_millis(200));
            stdin.write_all(b"q").ok();
        }
        let status = child.wait().unwrap();
        let seen = reader.join().unwrap();
        assert_eq!(status.code(), Some(code), "{seen:?}");
        let entered = seen.find("\u{1b}[?1049h").expect("the alternate screen");
        let left = seen.rfind("\u{1b}[?1049l").expect("the screen of before");
        assert!(entered < left && seen[left..].contains("\u{1b}[?25h"), "the cursor is back: {:?}", &seen[left..]);
    }
}
