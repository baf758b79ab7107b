//! What `deploy/` says, held against the program: its command lines are taken, and files, ports and
//! names that one file speaks of are those of the others. Never starts a container or a unit.

use crate::network::nats;
use crate::site::Site;
use ohc::base::limits::WIRE_BYTES_MAX;
use ohc::cli::handbook;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 2] = ["validator", "worker"];
const SERVERS: [&str; 2] = ["nats/nats-server.conf", "nats/compose-nats.conf"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn unit(kind: &str) -> String {
    read(&format!("systemd/ohc-{kind}@.service"))
}

/// The documents of a file of YAML.
fn yaml(name: &str) -> Vec<Value> {
    read(name).split("\n---\n").map(|text| serde_yaml::from_str(text).unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn items<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).unwrap_or_else(|| panic!("no {at} in {value}"))
}

/// The settings of a unit by their names; of what stands twice, both.
fn settings<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap();
    line.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
}

/// Command lines in the prose of a file: a line each, or between backticks, where what is said of a
/// verb may be its beginning.
fn shown(text: &str) -> Vec<Vec<String>> {
    let plain = |line: &str| line.trim_start_matches('#').trim().to_owned();
    let lines = text.replace("\\\n", " ").lines().map(plain).collect::<Vec<_>>();
    let whole = lines.iter().filter(|line| line.starts_with("ohc ")).map(|line| words(line));
    let quoted = lines.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named = quoted.filter(|text| text.starts_with("ohc ")).map(|text| {
        let mut words = words(text);
        words.push("--help".to_owned());
        words
    });
    whole.chain(named).collect()
}

/// The command lines of containers of the program.
fn of_containers() -> Vec<Vec<String>> {
    let line = |args: &[Value]| {
        let args = args.iter().map(|word| text(word).replace("$(POD)", "validator-1"));
        std::iter::once("ohc".to_owned()).chain(args).collect::<Vec<_>>()
    };
    let compose = yaml("compose.yaml").remove(0);
    let services = compose["services"].as_object().unwrap().values();
    let ours = services.filter(|it| it["image"] == "ohc" && it["entrypoint"].is_null());
    let mut all: Vec<_> = ours.map(|it| line(items(it, "/command"))).collect();
    assert_eq!(all.len(), 6);
    for (_, pod) in pods() {
        let containers = items(&pod, "/containers").iter();
        all.extend(containers.map(|container| line(items(container, "/args"))));
    }
    assert_eq!(all.len(), 8);
    all
}

/// The templates of pods, and the names of the pods that are made of them.
fn pods() -> Vec<(Vec<String>, Value)> {
    let sets =
        yaml("kubernetes/ohc.yaml").into_iter().filter(|it| it["spec"]["template"] != Value::Null);
    let pod = |set: Value| {
        let (name, spec) = (text(&set["metadata"]["name"]).to_owned(), &set["spec"]);
        let names = match (spec["ordinals"]["start"].as_u64(), spec["replicas"].as_u64()) {
            (Some(start), Some(count)) => {
                (start..start + count).map(|n| format!("{name}-{n}")).collect()
            }
            _ => vec![name],
        };
        (names, spec["template"]["spec"].clone())
    };
    sets.map(pod).collect()
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let prose = ["README.md", "compose.yaml", "kubernetes/ohc.yaml", "Dockerfile", SERVERS[0]];
    let mut lines: Vec<_> = prose.iter().flat_map(|name| shown(&read(name))).collect();
    assert!(lines.len() > 10, "{lines:?}");
    lines.extend(of_containers());
    for kind in UNITS {
        let unit = unit(kind);
        let [line] = settings(&unit, "ExecStart")[..] else { panic!("{unit}") };
        let line = line.strip_prefix("/usr/local/bin/").unwrap();
        assert!(line.starts_with(&format!("ohc {kind} ")), "{line}");
        lines.push(words(line));
        lines.extend(shown(&unit));
    }
    for line in lines {
        let taken = handbook::takes(&line);
        assert_eq!(taken, Ok(()), "{}", line.join(" "));
    }
    let stale = ["ohc", "worker", "--config", "x", "--no-such-flag"].map(str::to_owned);
    assert!(handbook::takes(&stale).is_err());
}

/// Makes the network that a file says in its head, in a site.
fn founded(name: &str) -> (Site, PathBuf, String) {
    let site = Site::new();
    let lines = shown(&read(name));
    let is_init = |line: &&Vec<String>| line.len() > 4 && line[1..3] == ["network", "init"];
    let words: Vec<&str> =
        lines.iter().find(is_init).unwrap()[1..].iter().map(String::as_str).collect();
    let value = |flag| words[words.iter().position(|word| *word == flag).unwrap() + 1];
    site.json(&[&words[..], &["-o", "json"]].concat());
    let (out, nats) = (site.path(value("--out")), value("--nats").to_owned());
    assert!(fs::read_to_string(out.join("network.yaml")).unwrap().contains(&nats));
    (site, out, nats)
}

#[test]
fn the_composed_network_finds_its_files_its_server_and_its_store() {
    let (_site, lab, nats) = founded("compose.yaml");
    let compose = yaml("compose.yaml").remove(0);
    let services = compose["services"].as_object().unwrap();
    let (host, port) = nats.strip_prefix("nats://").unwrap().split_once(':').unwrap();
    let server = &services[host];
    assert!(text(&items(server, "/ports")[0]).ends_with(&format!(":{port}")), "{server}");
    assert!(read(SERVERS[1]).contains(&format!("listen: 0.0.0.0:{port}\n")));
    // What the server includes lies beside it.
    let mounted: Vec<_> = items(server, "/volumes").iter().map(text).collect();
    let config = text(&items(server, "/command")[1]);
    let users = Path::new(config).with_file_name("nats-users.conf");
    for (from, to) in
        [("./nats/compose-nats.conf", Path::new(config)), ("./lab/nats-users.conf", &users)]
    {
        let mount = format!("{from}:{}:ro", to.display());
        assert!(mounted.contains(&mount.as_str()), "{mount} is not in {mounted:?}");
    }
    assert!(lab.ends_with("deploy/lab") && lab.join("nats-users.conf").is_file());
    let network = fs::read_to_string(lab.join("network.yaml")).unwrap();
    for (name, service) in services.iter().filter(|(_, service)| service["image"] == "ohc") {
        let volumes: Vec<_> = items(service, "/volumes").iter().map(text).collect();
        let store = volumes.iter().find_map(|volume| volume.strip_prefix("store:")).unwrap();
        assert!(network.contains(&format!("store: \"{store}\"")), "{store} is not in {network}");
        let Some(command) = service["command"].as_array() else { continue };
        assert_eq!(text(&command[2]), format!("/lab/{name}"));
        assert!(volumes.contains(&"./lab:/lab"), "{volumes:?}");
        assert!(
            name.starts_with(text(&command[0])) && lab.join(name).join("config.yaml").is_file()
        );
    }
    let nodes = fs::read_dir(&lab).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.starts_with("validator-") || name.starts_with("worker-")
    });
    assert_eq!(nodes.count(), of_containers().len() - 2, "all nodes run");
}

#[test]
fn pods_find_the_keys_that_are_theirs() {
    let (_site, lab, nats) = founded("kubernetes/ohc.yaml");
    for (names, pod) in pods() {
        let key = &items(&pod, "/initContainers")[0];
        let script = text(&items(key, "/args")[0]);
        for file in ["genesis.yaml", "network.yaml"] {
            assert!(script.contains(&format!("/network/{file}")) && lab.join(file).is_file());
        }
        let secrets: BTreeSet<&str> = items(&pod, "/volumes")
            .iter()
            .filter_map(|volume| volume.pointer("/secret/secretName").map(text))
            .collect();
        assert_eq!(secrets, names.iter().map(String::as_str).collect(), "a key for each pod");
        for name in &names {
            let copied = script.split("for file in ").nth(1).unwrap().split(';').next().unwrap();
            for file in copied.split(' ') {
                assert!(lab.join(name).join(file).is_file(), "there is no {name}/{file}");
            }
            let container = &items(&pod, "/containers")[0];
            let config = text(&items(container, "/args")[2]);
            let (folder, of) = (config.replace("$(POD)", name), script.replace("$POD", name));
            assert!(of.contains(&format!("{folder}/$file\"")), "{folder} is not made by {of}");
            assert!(
                of.contains(&format!("ln -sfn /home/ohc \"{folder}/home\""))
                    || of.contains(&format!("ln -sfn /home/ohc {folder}/home")),
                "{of}"
            );
        }
        // Nothing is mounted that is not there.
        let claims = ["home"];
        let volumes: BTreeSet<&str> = items(&pod, "/volumes")
            .iter()
            .map(|volume| text(&volume["name"]))
            .chain(claims)
            .collect();
        for container in items(&pod, "/initContainers").iter().chain(items(&pod, "/containers")) {
            for mount in items(container, "/volumeMounts") {
                assert!(volumes.contains(text(&mount["name"])), "{mount}");
            }
        }
    }
    let port: u64 = nats.rsplit(':').next().unwrap().parse().unwrap();
    let policy = yaml("kubernetes/ohc.yaml").pop().unwrap();
    let egress = items(&policy, "/spec/egress");
    let ports: Vec<&Value> =
        egress.iter().flat_map(|rule| items(rule, "/ports")).map(|p| &p["port"]).collect();
    assert!(ports.contains(&&Value::from(port)) && ports.contains(&&Value::from(443)), "{ports:?}");
    assert!(read(SERVERS[0]).contains(&format!("listen: 0.0.0.0:{port}\n")));
}

#[test]
fn the_program_lies_where_units_and_images_look_for_it_and_runs_as_who_may_write() {
    let image = read("Dockerfile");
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(image.contains(&format!("FROM rust:{version}-")), "built by Rust {version}");
    assert!(image.contains("COPY --from=build /ohc/target/release/ohc /usr/local/bin/ohc\n"));
    assert!(image.contains("ENTRYPOINT [\"ohc\"]"), "command lines begin with a verb");
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(image.contains(&format!("--uid {user} ")), "{image}");
    let compose = yaml("compose.yaml").remove(0);
    assert_eq!(text(&items(&compose, "/services/store/entrypoint")[1]), user);
    for (_, pod) in pods() {
        let [runs, owns] =
            ["runAsUser", "fsGroup"].map(|it| pod["securityContext"][it].to_string());
        assert_eq!((runs.as_str(), owns.as_str()), (user, user));
    }
    for kind in UNITS {
        let unit = unit(kind);
        for (name, expect) in [
            ("User", "ohc-%i"),
            ("Group", "ohc-%i"),
            ("StateDirectory", "ohc/%i"),
            ("EnvironmentFile", "-/etc/ohc/%i/environment"),
            ("KillSignal", "SIGTERM"),
        ] {
            assert_eq!(settings(&unit, name), [expect], "{name} of {kind}");
        }
        assert!(unit.contains("--config /etc/ohc/%i/config.yaml\n"));
        assert!(unit.contains("`home: /var/lib/ohc/NAME`"), "where StateDirectory is");
    }
}

/// Numbers of a configuration of NATS, such as `1MB`.
fn bytes(config: &str, name: &str) -> usize {
    let value = config.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap().strip_suffix("MB").unwrap().parse::<usize>().unwrap() << 20
}

#[test]
fn servers_of_messages_take_what_nodes_say() {
    let [one, other] = SERVERS.map(read);
    for config in [&one, &other] {
        assert!(bytes(config, "max_payload") >= WIRE_BYTES_MAX, "{config}");
        assert!(config.contains("\ninclude \"nats-users.conf\"\n"));
    }
    // The other of the two runs in `network::guard`.
    let Some(program) = nats::program() else { return };
    let (site, lab, _) = founded("compose.yaml");
    fs::write(lab.join("nats.conf"), &other).unwrap();
    let read =
        Command::new(program).arg("-t").arg("-c").arg(lab.join("nats.conf")).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    drop(site);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let site = Site::new();
    for kind in UNITS {
        let text = unit(kind).replace("/usr/local/bin/ohc", env!("CARGO_BIN_EXE_ohc"));
        let file = site.path(&format!("ohc-{kind}@.service"));
        fs::write(&file, text).unwrap();
        let Ok(read) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else {
            return println!("skipped: there is no systemd-analyze");
        };
        // It succeeds with keys that nobody knows; of other units it may say what it likes.
        let said = String::from_utf8(read.stderr).unwrap();
        let of_it: Vec<&str> =
            said.lines().filter(|line| line.contains(&format!("ohc-{kind}"))).collect();
        assert!(read.status.success() && of_it.is_empty(), "{said}");
    }
}
