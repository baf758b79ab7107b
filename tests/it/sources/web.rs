//! Sources on web servers, sound and broken. Never waits for a server longer than the test says.

use super::server::{Answer, Body, Server, file};
use super::{artifacts_are_whole, from};
use crate::site::Site;
use ohc::effects::sources::{Address, Patience, Source, SourceError};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn iris(site: &Site) -> Vec<u8> {
    std::fs::read(site.path("data/iris.csv")).unwrap()
}

/// Plans a source at `url`: the program must fail, point at the source and say `expect`.
#[track_caller]
fn fails(site: &Site, url: &str, expect: &[&str]) -> String {
    from(site, "web.yaml", url);
    let ran = site.run(&["plan", "web.yaml"]);
    let said = ran.err();
    assert_eq!(ran.code(), Some(1), "{said}");
    for expect in ["web.yaml:21:5", "hint: "].iter().chain(expect) {
        assert!(said.contains(expect), "{expect:?} is not in: {said}");
    }
    said
}

#[test]
fn a_file_of_a_web_server_is_the_file_and_is_read_once() {
    let site = Site::new();
    let server = Server::of(&iris(&site));
    from(&site, "web.yaml", &server.url("/data/iris.csv?part=1#top"));
    let first = site.json(&["apply", "web.yaml", "-o", "json"]);
    assert_eq!(first["status"], "settled");
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.path == "/data/iris.csv?part=1"), "{asked:?}");
    let local = site.json(&["plan", "iris.yaml", "-o", "json"]);
    assert_eq!(local["changes"], false, "the same bytes are the same work");
    // Nothing changed: the server is asked for its state, and for nothing more.
    for _ in 0..2 {
        assert_eq!(site.json(&["plan", "web.yaml", "-o", "json"])["changes"], false);
        assert_eq!(server.methods(), ["HEAD"]);
    }
    // An artifact that is gone is read again.
    std::fs::remove_dir_all(site.path("home/artifacts")).unwrap();
    site.run(&["plan", "web.yaml"]);
    assert_eq!(server.methods(), ["HEAD", "GET"]);
    assert_eq!(artifacts_are_whole(&site, "home"), 1);
}

#[test]
fn a_plan_without_a_home_leaves_nothing_behind() {
    let site = Site::new();
    let server = Server::of(&iris(&site));
    from(&site, "web.yaml", &server.url("/iris.csv"));
    assert_eq!(site.run(&["plan", "web.yaml"]).code(), Some(0));
    assert!(!site.path("home").exists());
    assert!(!site.path("ohc.lock").exists());
}

#[test]
fn a_server_that_tells_no_state_is_read_every_time() {
    let site = Site::new();
    let bytes = iris(&site);
    for tags in [vec![], vec!["ETag: W/\"1\"".to_owned()]] {
        let bytes = bytes.clone();
        let server =
            Server::start(move |_, _| Answer("200 OK", tags.clone(), Body::Bytes(bytes.clone())));
        from(&site, "web.yaml", &server.url("/iris.csv"));
        site.json(&["apply", "web.yaml", "-o", "json"]);
        server.asked();
        assert_eq!(site.run(&["plan", "web.yaml"]).code(), Some(0));
        assert_eq!(server.methods(), ["HEAD", "GET"]);
    }
}

#[test]
fn what_a_server_says_is_explained_at_the_source() {
    let site = Site::new();
    let server = Server::start(|_, asked| {
        let redirect = vec!["Location: /loop".to_owned()];
        match asked.path.as_str() {
            "/loop" => Answer("302 Found", redirect, Body::Bytes(Vec::new())),
            "/secret" => Answer("403 Forbidden", Vec::new(), Body::Bytes(b"go away".to_vec())),
            "/login" => Answer("401 Unauthorized", Vec::new(), Body::Bytes(Vec::new())),
            "/ill" => Answer("400 Bad Request", Vec::new(), Body::Bytes(Vec::new())),
            _ => Answer("404 Not Found", Vec::new(), Body::Bytes(Vec::new())),
        }
    });
    fails(&site, &server.url("/none.csv"), &["there is no object http://", "/none.csv"]);
    fails(&site, &server.url("/secret"), &["may not be read: 403", "secretRef"]);
    fails(&site, &server.url("/login"), &["may not be read: 401", "secretRef"]);
    fails(&site, &server.url("/loop"), &["too many redirects"]);
    assert!(server.asked().len() < 60, "redirects are bounded");
    fails(&site, &server.url("/ill"), &["answered 400"]);
    fails(&site, &server.url("/"), &["name one file"]);
    let tls = server.url("/x.csv").replace("http://", "https://");
    fails(&site, &tls, &["no secure connection"]);
    // A port on which nobody listens any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fails(&site, &format!("http://127.0.0.1:{port}/x.csv"), &["cannot connect"]);
}

#[test]
fn a_server_in_trouble_is_asked_again_and_not_for_ever() {
    let site = Site::new();
    let bytes = iris(&site);
    let server = Server::start(move |number, asked| match number {
        0 | 1 => Answer("500 Internal Server Error", Vec::new(), Body::Bytes(Vec::new())),
        _ => file(&bytes, asked),
    });
    from(&site, "web.yaml", &server.url("/iris.csv"));
    assert_eq!(site.run(&["plan", "web.yaml"]).code(), Some(0));
    assert_eq!(server.methods(), ["HEAD", "HEAD", "HEAD", "GET"]);
    let server = Server::start(|_, _| {
        Answer("503 Service Unavailable", Vec::new(), Body::Bytes(Vec::new()))
    });
    fails(&site, &server.url("/iris.csv"), &["answered 503", "try again later"]);
    assert!(server.asked().len() <= 8);
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let site = Site::new();
    let bytes = iris(&site);
    let half = bytes[..bytes.len() / 2].to_vec();
    let cuts = AtomicUsize::new(0);
    let server = Server::start(move |_, asked| {
        let Answer(status, mut headers, body) = file(&bytes, asked);
        if asked.method == "GET" && cuts.fetch_add(1, Ordering::SeqCst) == 0 {
            headers.push(format!("Content-Length: {}", bytes.len()));
            return Answer(status, headers, Body::Cut(half.clone()));
        }
        Answer(status, headers, body)
    });
    from(&site, "web.yaml", &server.url("/iris.csv"));
    let web = site.json(&["plan", "web.yaml", "-o", "json"]);
    let local = site.json(&["plan", "iris.yaml", "-o", "json"]);
    assert_eq!(web["jobs"], local["jobs"]);
    let asked = server.asked();
    assert!(asked.last().unwrap().headers.contains_key("range"), "{asked:?}");
}

#[test]
fn a_file_that_ends_too_early_is_no_file() {
    let site = Site::new();
    let bytes = iris(&site);
    for tags in [vec![], vec!["ETag: \"1\"".to_owned()]] {
        let bytes = bytes.clone();
        let server = Server::start(move |_, _| {
            let mut headers = tags.clone();
            headers.push(format!("Content-Length: {}", bytes.len() + 10));
            Answer("200 OK", headers, Body::Cut(bytes.clone()))
        });
        from(&site, "web.yaml", &server.url("/iris.csv"));
        let ran = site.run(&["apply", "web.yaml"]);
        assert_eq!(ran.code(), Some(1), "{}", ran.err());
        assert!(ran.err().contains("web.yaml:21:5") && ran.err().contains("hint: "));
        assert!(!site.path("home/log").exists() && !site.path("ohc.lock").exists());
        artifacts_are_whole(&site, "home");
    }
}

#[test]
fn a_secret_is_sent_and_never_shown() {
    let site = Site::new();
    let bytes = iris(&site);
    let server = Server::start(move |_, asked| {
        match asked.headers.get("authorization").map(String::as_str) {
            Some("Bearer hunter2-hunter2") => file(&bytes, asked),
            _ => Answer("403 Forbidden", Vec::new(), Body::Bytes(Vec::new())),
        }
    });
    let secret = format!("url: \"{}\", auth: {{ secretRef: lake }}", server.url("/iris.csv"));
    site.vary("web.yaml", "url: data/iris.csv", &secret);
    let run = |value: Option<&str>| {
        let mut command = site.command(&["apply", "web.yaml", "-o", "json"]);
        command.env("HOME", site.path("")).env_remove("XDG_CONFIG_HOME");
        command.env_remove("OHC_SECRET_LAKE_AUTHORIZATION");
        command.envs(value.map(|value| ("OHC_SECRET_LAKE_AUTHORIZATION", value)));
        let ran = command.output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no secret `lake`") && said.contains("hint: "), "{said}");
    let (code, said) = run(Some("Bearer wrong-hunter2"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("403") && !said.contains("hunter2"), "{said}");
    let (code, said) = run(Some("Bearer hunter2-hunter2"));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("hunter2"));
    let mut folders = vec![site.path("home"), site.path("out")];
    let mut files = vec![site.path("ohc.lock")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let holds = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!holds, "{} holds the secret", file.display());
    }
}

#[test]
fn a_redirect_to_another_host_does_not_take_the_secret_along() {
    let site = Site::new();
    let bytes = iris(&site);
    let other = Server::of(&bytes);
    let location = format!("Location: {}", other.url("/iris.csv"));
    let server = Server::start(move |_, _| {
        Answer("302 Found", vec![location.clone()], Body::Bytes(Vec::new()))
    });
    let secret = format!("url: \"{}\", auth: {{ secretRef: lake }}", server.url("/iris.csv"));
    site.vary("web.yaml", "url: data/iris.csv", &secret);
    let mut command = site.command(&["plan", "web.yaml"]);
    command.env("OHC_SECRET_LAKE_AUTHORIZATION", "Bearer hunter2-hunter2");
    assert!(command.output().unwrap().status.success());
    let with = |asked: &super::server::Asked| asked.headers.contains_key("authorization");
    assert!(server.asked().iter().all(with));
    let asked = other.asked();
    assert!(!asked.is_empty() && !asked.iter().any(with), "{asked:?}");
}

/// Reads all of a source with little patience.
fn read(url: &str) -> Result<(), SourceError> {
    let patience = Patience {
        connect: Duration::from_millis(300),
        silence: Duration::from_millis(300),
        retries: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = Address::parse(url, Path::new("/"))?;
        let source = Source::open(address, None, patience)?;
        for object in source.objects().await? {
            let mut flow = source.read(&object).await?;
            while flow.next().await?.is_some() {}
            flow.end()?;
        }
        Ok(())
    })
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let silent = |headers: Vec<String>| {
        Server::start(move |_, _| Answer("200 OK", headers.clone(), Body::Stall(b"a,b\n".to_vec())))
    };
    let length = "Content-Length: 1000".to_owned();
    let tag = "ETag: \"1\"".to_owned();
    for (headers, expect) in [
        (vec![length.clone()], "no answer in time"),
        // It is asked to go on where it fell silent, and does not know how.
        (vec![length, tag], "the connection broke"),
    ] {
        let server = silent(headers);
        let error = read(&server.url("/x.csv")).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    // One that accepts and says nothing at all.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.csv", listener.local_addr().unwrap());
    let error = read(&url).unwrap_err().to_string();
    assert!(error.contains("no answer in time"), "{error}");
}

#[test]
fn ctrl_c_in_a_download_stops_at_once_and_leaves_nothing_half_done() {
    let site = Site::new();
    let bytes = iris(&site);
    let server = Server::start(move |_, asked| {
        let Answer(status, mut headers, _) = file(&bytes, asked);
        headers.push(format!("Content-Length: {}", bytes.len() * 1000));
        Answer(status, headers, Body::Stall(bytes.clone()))
    });
    from(&site, "web.yaml", &server.url("/iris.csv"));
    let mut command = site.command(&["apply", "web.yaml"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let clock = ohc::effects::clock::Clock::start();
    while !server.methods().contains(&"GET".to_owned()) {
        assert!(clock.seconds() < 30.0, "it never began to read");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let clock = ohc::effects::clock::Clock::start();
    let status = child.wait().unwrap();
    assert!(clock.seconds() < 5.0, "it went on for {} s", clock.seconds());
    assert!(!status.success());
    assert!(!site.path("home/log").exists() && !site.path("ohc.lock").exists());
    artifacts_are_whole(&site, "home");
    assert!(!site.path("home/pins").exists(), "half a file has no pin");
}
