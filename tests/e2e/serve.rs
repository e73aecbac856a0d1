//! The page, in a real browser.

use std::time::Duration;

use crate::{
    serve_database::{self, Made, Size},
    support::{
        World,
        browser::{Browser, CONTROL, DOWN, ENTER, ESCAPE, Page, RIGHT, TAB},
        launch, noop, wait,
    },
};

/// What users may write anywhere; it must stay text.
const NASTY: &str = "<img src=x onerror=document.title='owned'><script>alert(1)</script>";
const SIZE: Size = Size { trials: 300, epochs: 8, running: 3, failed: 4, device_hours: 3 };

/// A database with everything that pages show.
fn made(name: &str) -> (World, Vec<Made>) {
    let world = World::new();
    std::fs::create_dir_all(world.home()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(serve_database::make(&world.home(), SIZE, name)).unwrap();
    (world, made)
}

/// A server on one, under a name that tries to be markup.
fn world() -> (World, Page, Vec<Made>) {
    let (world, made) = made(NASTY);
    let page = Page::start(&world, &[]);
    (world, page, made)
}

fn paths(made: &[Made]) -> Vec<String> {
    let (one, other, adaptor) = (made[40].id.short(), made[41].id.short(), made[2].id.short());
    [
        "/".to_owned(),
        "/trials?stage=classify".to_owned(),
        "/curves?stage=classify&color=vision&smooth=0.6".to_owned(),
        "/curves?stage=classify&color=:result&log=1&metric=train_loss".to_owned(),
        "/grid".to_owned(),
        "/parallel".to_owned(),
        format!("/compare?trials={one},{other},{adaptor}"),
        format!("/compare?trials={one},{other}"),
        "/compare".to_owned(),
        "/devices".to_owned(),
        "/devices?range=3600000".to_owned(),
        "/sql?q=SELECT+*+FROM+leaderboard+LIMIT+20".to_owned(),
        format!("/trial/{one}"),
        format!("/trial/{adaptor}"),
        format!("/trial/{}", made[made.len() - 1].id.short()),
        format!("/trial/{}", made[made.len() - 5].id.short()),
    ]
    .into()
}

#[test]
fn every_page_loads_cleanly_on_a_desk_and_on_a_phone_and_markup_stays_text() {
    for (width, height) in [(1280, 900), (390, 844)] {
        let Some(browser) = Browser::start(width, height) else { return };
        let (_world, page, made) = world();
        for path in paths(&made) {
            browser.open(&format!("{}{path}", page.url));
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{path} at {width}");
            // Wide tables scroll by themselves; the page does not.
            let wide =
                browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{path} is wider than {width}");
            let markup = browser.script("return document.querySelectorAll('main img, main script, header img').length");
            assert_eq!(markup, 0, "{path}");
            assert!(browser.text("return document.title").ends_with("Permafrost"), "{path}");
            let headings = browser.script("return document.querySelectorAll('main h1').length");
            assert_eq!(headings, 1, "{path}");
            // Everything that can be used has a name.
            let unnamed = browser.script(
                "return [...document.querySelectorAll('main button, main select, main input, main textarea, main a')]
                     .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.title)).length",
            );
            assert_eq!(unnamed, 0, "{path}");
        }
        browser.open(&format!("{}/", page.url));
        let heading = browser.text("return document.querySelector('main h1').textContent");
        assert!(heading.contains(NASTY), "{heading}");
    }
}

#[test]
fn the_heat_map_has_the_numbers_of_the_database() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (world, page, made) = world();
    browser.open(&format!("{}/grid?stage=classify&f.learning_rate=*&f.weight_decay=*", page.url));
    let shown = browser.script(
        "return [...document.querySelectorAll('.heat td.cell[data-mean]')].map((cell) => Number(cell.dataset.mean)).sort((a, b) => a - b)",
    );
    let shown: Vec<f64> = shown.as_array().unwrap().iter().map(|mean| mean.as_f64().unwrap()).collect();
    let sql = "SELECT CAST(avg(value) AS TEXT) FROM leaderboard WHERE stage = 'classify' AND metric = 'auroc'
               GROUP BY parameters ->> '$.text', parameters ->> '$.vision', parameters ->> '$.fraction' ORDER BY avg(value)";
    let expected = world.ask(sql).unwrap().rows.into_iter().map(|row| match &row[0] {
        permafrost::store::SqlValue::Text(text) => text.parse::<f64>().unwrap(),
        other => panic!("{other:?}"),
    });
    let expected: Vec<f64> = expected.collect();
    assert_eq!((shown.len(), expected.len()), (45, 45));
    for (shown, expected) in shown.iter().zip(&expected) {
        assert!((shown - expected).abs() < 1e-9, "{shown} {expected}");
    }
    let first = browser.text("return document.querySelector('.heat td.cell[data-mean] b').textContent");
    assert!(first.starts_with("0.") && first.len() == 5, "{first}");
    // The best of all is told on the overview.
    let best = made.iter().skip(15).filter_map(|trial| trial.auroc).fold(0.0, f64::max);
    browser.open(&format!("{}/", page.url));
    let told = browser.text("return [...document.querySelectorAll('section')].find((s) => s.innerText.startsWith('Best auroc')).querySelector('td.num').textContent");
    assert_eq!(told, format!("{best:.3}"));
    browser.open(&format!("{}/grid?stage=classify&f.learning_rate=*&f.weight_decay=*", page.url));
    // The paper's value stands in the cell, and what else there is appears when it has the focus.
    browser.script("document.querySelector('.heat td.cell[data-mean]').focus()");
    browser.press(&[&[RIGHT]]);
    browser.wait("return document.querySelector('.panels .tip').innerText !== ''");
    let tip = browser.text("return document.querySelector('.panels .tip').innerText");
    assert!(tip.contains("n ") && tip.contains("95 % interval") && tip.contains("paper"), "{tip}");
}

#[test]
fn everything_can_be_reached_with_the_keyboard() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (_world, page, _) = world();
    browser.open(&format!("{}/", page.url));
    browser.press(&[&[TAB]]);
    assert_eq!(browser.text("return document.activeElement.textContent"), "Skip to content");
    browser.press(&[&[ENTER]]);
    browser.script("document.activeElement.blur()");
    browser.press(&[&["g"], &["g"]]);
    browser.wait("return location.pathname === '/grid' && document.querySelectorAll('.heat td.cell').length > 0");
    browser.script("document.querySelector('.heat td.cell').focus()");
    browser.press(&[&[RIGHT], &[DOWN]]);
    let place =
        "const c = document.activeElement.closest('td'); return c.cellIndex + ',' + c.parentElement.sectionRowIndex";
    assert_eq!(browser.text(place), "2,1");
    browser.press(&[&["?"]]);
    browser.wait("return document.querySelector('dialog[open]') !== null");
    browser.press(&[&[ESCAPE]]);
    browser.wait("return document.querySelector('dialog') === null");
    browser.script("document.activeElement.blur()");
    browser.press(&[&["g"], &["c"]]);
    browser.wait("return location.pathname === '/curves' && document.querySelectorAll('.curve').length > 5");
    browser.script("document.querySelector('.chart svg').focus()");
    browser.press(&[&[DOWN], &[RIGHT]]);
    browser.wait("return !document.querySelector('.chart .tip').hidden");
    browser.press(&[&[ENTER]]);
    browser.wait("return location.pathname.startsWith('/trial/')");
    // A choice is in the address, so that it can be sent to somebody.
    browser.open(&format!("{}/trials?stage=classify&state=failed", page.url));
    assert_eq!(browser.script("return document.querySelectorAll('tbody tr').length"), SIZE.failed);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_console_answers_and_refuses_to_write() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (world, page, made) = world();
    browser.open(&format!("{}/sql", page.url));
    browser.script(
        "const q = document.querySelector('textarea'); q.focus(); q.value = 'SELECT count(*) AS n FROM trials'",
    );
    browser.press(&[&[CONTROL, ENTER]]);
    browser.wait("return document.querySelector('.answer tbody td') !== null");
    let count = browser.text("return document.querySelector('.answer tbody td').textContent");
    assert_eq!(count, made.len().to_string());
    browser.script("const q = document.querySelector('textarea'); q.focus(); q.value = 'DELETE FROM trials'");
    browser.press(&[&[CONTROL, ENTER]]);
    browser.wait("return document.querySelector('.answer .failure') !== null");
    let words = browser.text("return document.querySelector('.answer .failure').innerText");
    assert!(words.contains("readonly") || words.contains("read"), "{words}");
    assert_eq!(world.number("SELECT count(*) FROM trials"), made.len() as i64);
}

#[test]
fn a_constant_curve_has_an_axis_and_seeds_stay_exact() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (_world, page, _) = world();
    browser.open(&format!("{}/", page.url));
    // Smoothing leaves a constant a little less than constant: steps that small would never reach the end.
    let counts = browser.script(
        "return import('/assets/chart.js').then(({ ticks }) => [[0.1, 0.1 + 2e-17], [0.1, 0.1 + 3e-17], [-7, -7 + 1e-15], [1e300, 1e300 * (1 + 1e-15)], [0, 1], [-3, 5], [0, 0]]
             .map(([low, high]) => ticks(low, high).length))",
    );
    let counts: Vec<u64> = counts.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert_eq!(counts[..4], [1, 1, 1, 1]);
    assert!(counts[4..].iter().all(|&count| (1..=12).contains(&count)), "{counts:?}");
    let flat = browser.script(
        "return import('/assets/chart.js').then(({ lineChart }) => [false, true].map((log) => {
             const chart = lineChart({ whole: true });
             document.querySelector('main').append(chart);
             chart.draw({ log, weight: 0.92, series: [{ key: 'a', name: 'a', color: 'red', points: Array.from({ length: 300 }, (_, at) => [at + 1, 0.1]) }] });
             const heights = chart.querySelector('path.curve').getAttribute('d').match(/ [0-9.]+/g).map(Number);
             return Math.max(...heights) - Math.min(...heights);
         }))",
    );
    assert_eq!(flat, serde_json::json!([0, 0]));
    let told = "return import('/assets/format.js').then(({ val }) => [20240101, 20240102, -1000000, 0, 0.5, 1e20].map(val).join(' '))";
    assert_eq!(browser.text(told), "20240101 20240102 -1000000 0 0.5 1e20");
}

#[test]
fn an_answer_that_comes_late_changes_nothing_and_an_error_is_told() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (_world, page, _) = world();
    browser.open(&format!("{}/trials?stage=classify", page.url));
    // One question is answered late, whether or not the page still wants to know; one not at all.
    browser.script(
        "const ask = window.fetch; window.late = 0;
         window.fetch = async (path, more) => {
             if (path.includes('state=failed')) return Response.json({ error: { message: 'it broke' } }, { status: 500 });
             if (!path.includes('q=nothing')) return ask(path, more);
             const answer = await ask(path);
             await new Promise((after) => setTimeout(after, 1500));
             window.late += 1;
             return answer;
         }",
    );
    let search = |text: &str| {
        let script = format!(
            "const field = document.querySelector('input[type=search]'); field.value = '{text}'; field.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        );
        browser.script(&script);
    };
    search("nothing");
    browser.wait("return new URL(location.href).searchParams.get('q') === 'nothing'");
    search("");
    browser.wait("return !new URL(location.href).searchParams.has('q') && window.late === 1");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(browser.script("return document.querySelectorAll('tbody tr').length"), 100);
    browser.script(
        "const state = document.querySelectorAll('main select')[1]; state.value = 'failed'; state.dispatchEvent(new Event('change', { bubbles: true }))",
    );
    browser.wait("return document.querySelector('main .failure')?.innerText.includes('it broke') ?? false");
    // What was asked wrongly is not asked again by itself.
    browser.go(&format!("{}/trials?stage=none", page.url));
    browser.wait("return document.querySelector('main .failure') !== null");
    browser.script("document.querySelector('main .failure').id = 'first'");
    browser.wait("return document.getElementById('live').dataset.state === 'live'");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(browser.script("return document.getElementById('first') !== null"), true);
}

#[test]
fn what_somebody_typed_and_where_they_were_stays() {
    let Some(browser) = Browser::start(1280, 600) else { return };
    let (_world, page, _) = world();
    browser.open(&format!("{}/sql", page.url));
    browser.script(
        "document.querySelector('textarea').value = 'SELECT 9e999 AS x'; document.querySelector('.skip').click()",
    );
    browser.wait("return location.hash === '#main'");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(browser.text("return document.querySelector('textarea').value"), "SELECT 9e999 AS x");
    browser.script("document.querySelector('button.primary').click()");
    browser.wait("return document.querySelector('.answer tbody td')?.textContent === 'inf'");
    // The way back leads to where somebody was.
    browser.open(&format!("{}/trials?stage=classify", page.url));
    browser.script("window.scrollTo(0, 700); document.querySelector('td a.id').click()");
    browser.wait("return location.pathname.startsWith('/trial/') && document.querySelector('.log') !== null && window.scrollY === 0");
    browser.script("history.back()");
    browser.wait("return location.pathname === '/trials' && document.querySelector('td a.id') !== null && window.scrollY === 700");
    // A bar on the page of devices is a link like any other.
    browser.open(&format!("{}/devices", page.url));
    browser.script("window.stays = true; document.querySelector('svg a').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }))");
    browser.wait("return location.pathname.startsWith('/trial/') && document.querySelector('.log') !== null");
    assert_eq!(browser.script("return window.stays"), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_whose_token_is_no_longer_taken_asks_for_it() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (world, _) = made("x");
    let page = Page::start(&world, &["--token"]);
    browser.open(&page.url);
    browser.wait("return document.getElementById('live').dataset.state === 'live'");
    assert!(!browser.text("return location.href").contains("token"));
    let port = page.url.split(['/', ':']).nth(4).unwrap().to_owned();
    drop(page);
    let token = "another+token/of 32 or more signs==".replace(' ', "-");
    std::fs::write(world.home().join("serve.token"), &token).unwrap();
    let mut command = world.command();
    let mut again =
        command.args(["serve", "--token", "--port", &port]).stdout(std::process::Stdio::null()).spawn().unwrap();
    browser.wait("return document.querySelector('input[name=token]') !== null");
    browser.script(&format!(
        "document.querySelector('input[name=token]').value = '{token}'; document.querySelector('form').requestSubmit()"
    ));
    browser.wait("return document.querySelector('main h1')?.textContent.startsWith('x') ?? false");
    browser.wait("return document.getElementById('live')?.dataset.state === 'live'");
    again.kill().unwrap();
    again.wait().unwrap();
}

#[test]
fn a_page_that_is_open_follows_a_sweep_that_is_launched_later() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let world = World::new();
    let page = Page::start(&world, &[]);
    browser.go(&format!("{}/", page.url));
    browser.wait("return document.querySelector('main h1')?.textContent === 'Waiting for the first sweep'");
    browser.wait("return document.getElementById('live').dataset.state === 'waiting'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    world.write("x.yaml", &noop("index: {values: [1, 2, 3, 4, 5, 6]}, steps: {value: 20}, step_ms: {value: 100}"));
    let sweep = world.start(&launch("x.yaml"));
    // Nothing is reloaded from here on.
    browser.script("window.stays = true");
    browser.wait("return document.querySelector('main h1')?.textContent.startsWith('x') ?? false");
    browser.wait("return document.querySelector('main').innerText.includes('Running')");
    browser.wait("return document.querySelector('.fact b')?.textContent === '6 / 6'");
    assert_eq!(wait(sweep).status.code(), Some(0));
    assert_eq!(browser.script("return window.stays"), true);
    // The address holds the sweep, and one that is launched later is told, not shown.
    assert_eq!(browser.text("return location.search"), "?sweep=x@1");
    world.write(
        "y.yaml",
        &noop("index: {values: [7]}, steps: {value: 1}, step_ms: {value: 1}").replace("name: x", "name: y"),
    );
    assert_eq!(wait(world.start(&launch("y.yaml"))).status.code(), Some(0));
    browser.wait("return document.getElementById('newer').textContent === 'newer: y@1'");
    assert!(browser.text("return document.querySelector('main h1').textContent").starts_with('x'));
    assert_eq!(browser.script("return window.stays"), true);
    assert_eq!(browser.text("return document.getElementById('live').textContent"), "live");
    // When the server goes, the page says so; when it is back, the page goes on.
    let port = page.url.rsplit(':').next().unwrap().to_owned();
    drop(page);
    browser.wait("return document.getElementById('live').dataset.state === 'offline'");
    let mut command = world.command();
    let mut again = command.args(["serve", "--port", &port]).stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    browser.wait("return document.getElementById('live').dataset.state === 'live'");
    again.kill().unwrap();
    again.wait().unwrap();
}
