//! The bus against a real server: what gets through, and what is told when it does not. Never
//! leaves this machine.

use super::nats::Nats;
use ohc::effects::bus::{Bus, BusError, Login, Message, News, Options};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn options(url: &str) -> Options {
    Options {
        urls: vec![url.to_owned()],
        name: "test".into(),
        inbox: "_INBOX_test".into(),
        patience: SOON,
        ..Options::default()
    }
}

fn connect(options: &Options, runtime: &Runtime) -> Result<(Bus, Receiver<News>), BusError> {
    let (sender, news) = mpsc::channel();
    let bus = Bus::connect(options, runtime.handle(), move |news| drop(sender.send(news)))?;
    Ok((bus, news))
}

fn until(news: &Receiver<News>, wanted: impl Fn(&News) -> bool) -> News {
    loop {
        let next = news.recv_timeout(SOON).unwrap();
        if wanted(&next) {
            return next;
        }
    }
}

fn texts(messages: &Receiver<Message>, count: usize) -> Vec<String> {
    let text = |message: Message| String::from_utf8(message.bytes).unwrap();
    (0..count).map(|_| text(messages.recv_timeout(SOON).unwrap())).collect()
}

#[test]
fn messages_reach_all_that_listen_and_one_of_each_group() {
    let Some(nats) = Nats::start("") else { return };
    let runtime = runtime();
    let (one, _) = connect(&options(&nats.url()), &runtime).unwrap();
    let (other, _) = connect(&options(&nats.url()), &runtime).unwrap();
    let (sender, all) = mpsc::channel();
    let (again, grouped) = mpsc::channel();
    let listen = |bus: &Bus, group, sender: &mpsc::Sender<Message>| {
        let sender = sender.clone();
        let subject = "ohc.test.*";
        let held = bus.subscribe(subject, group, 1 << 20, move |m| sender.send(m).is_ok());
        // The server answers this one after it knows of the subscription.
        let nobody = bus.request("ohc.nobody", b"x".to_vec(), 99, SOON);
        assert!(matches!(nobody, Err(BusError::Nobody { .. })), "{nobody:?}");
        held.unwrap()
    };
    let _alone = [listen(&one, None, &sender), listen(&other, None, &sender)];
    let _group = [listen(&one, Some("g"), &again), listen(&other, Some("g"), &again)];
    one.publish("ohc.test.a", b"hello".to_vec()).unwrap();
    let mut heard = vec![all.recv_timeout(SOON).unwrap(), all.recv_timeout(SOON).unwrap()];
    let first = heard.pop().unwrap();
    assert_eq!((first.subject.as_str(), first.reply), ("ohc.test.a", None));
    assert_eq!(texts(&grouped, 1), ["hello"]);
    assert!(grouped.recv_timeout(Duration::from_millis(100)).is_err(), "one of the group");
}

#[test]
fn a_question_is_answered_or_it_is_said_why_not() {
    let Some(nats) = Nats::start("") else { return };
    let runtime = runtime();
    let (bus, _) = connect(&options(&nats.url()), &runtime).unwrap();
    let (sender, questions) = mpsc::channel::<Message>();
    let _held = bus.subscribe("ohc.q", None, 1 << 20, move |m| sender.send(m).is_ok()).unwrap();
    let own = bus.clone();
    let answering = std::thread::spawn(move || {
        let asked = questions.recv_timeout(SOON).unwrap();
        let reply = asked.reply.unwrap();
        assert!(reply.starts_with("_INBOX_test."), "{reply}");
        own.publish(&reply, [b"re: ".as_slice(), &asked.bytes].concat()).unwrap();
        questions // the next questions are heard, and not answered
    });
    assert_eq!(bus.request("ohc.q", b"x".to_vec(), 99, SOON).unwrap(), b"re: x");
    let _questions = answering.join().unwrap();
    let silent = bus.request("ohc.q", b"x".to_vec(), 99, Duration::from_millis(50));
    assert!(matches!(silent, Err(BusError::Silent { .. })), "{silent:?}");
    let nobody = bus.request("ohc.nobody", b"x".to_vec(), 99, SOON);
    assert!(matches!(nobody, Err(BusError::Nobody { .. })), "{nobody:?}");
    let subject = bus.publish("not a subject", b"x".to_vec());
    assert!(matches!(subject, Err(BusError::Subject { .. })), "{subject:?}");
    let long = bus.publish("ohc.q", vec![0; 1 << 21]);
    assert!(matches!(long, Err(BusError::TooLong { .. })), "{long:?}");
}

#[test]
fn a_server_that_is_killed_is_found_again_and_both_are_told() {
    let Some(mut nats) = Nats::start("") else { return };
    let runtime = runtime();
    let (bus, news) = connect(&options(&nats.url()), &runtime).unwrap();
    let (sender, messages) = mpsc::channel();
    let _held = bus.subscribe("ohc.a", None, 1 << 20, move |m| sender.send(m).is_ok()).unwrap();
    bus.publish("ohc.a", b"before".to_vec()).unwrap();
    assert_eq!(texts(&messages, 1), ["before"]);
    nats.kill();
    until(&news, |news| matches!(news, News::Down(_)));
    let away = bus.publish("ohc.a", b"lost".to_vec());
    assert!(matches!(away, Err(BusError::Away)), "{away:?}");
    nats.restart();
    until(&news, |news| *news == News::Up);
    bus.publish("ohc.a", b"after".to_vec()).unwrap();
    assert_eq!(texts(&messages, 1), ["after"]);
}

#[test]
fn what_finds_no_room_is_lost_and_that_is_told_once() {
    let Some(nats) = Nats::start("") else { return };
    let runtime = runtime();
    let (bus, news) = connect(&options(&nats.url()), &runtime).unwrap();
    let (sender, messages) = mpsc::channel();
    let _held = bus.subscribe("ohc.a", None, 10_000, move |m| sender.send(m).is_ok()).unwrap();
    for _ in 0..100 {
        bus.publish("ohc.a", vec![7; 1_000]).unwrap();
    }
    until(&news, |news| *news == News::Lost);
    bus.flush(SOON).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let waiting: Vec<Message> = messages.try_iter().collect();
    assert_eq!(waiting.len(), 7, "10,000 bytes hold seven of them");
    assert!(news.try_iter().all(|news| news != News::Lost), "told twice");
    drop(waiting);
    bus.publish("ohc.a", b"room again".to_vec()).unwrap();
    assert_eq!(texts(&messages, 1), ["room again"]);
}

#[test]
fn what_a_connection_sends_comes_back_to_it_unless_it_wants_none_of_that() {
    let Some(nats) = Nats::start("") else { return };
    let runtime = runtime();
    let with = |no_echo| {
        let bus = connect(&Options { no_echo, ..options(&nats.url()) }, &runtime).unwrap().0;
        let (sender, messages) = mpsc::channel();
        let sink = move |message| sender.send(message).is_ok();
        let subscription = bus.subscribe("ohc.a", None, 10_000, sink).unwrap();
        // The server answers this one after it knows of the subscription.
        let nobody = bus.request("ohc.nobody", b"x".to_vec(), 99, SOON);
        assert!(matches!(nobody, Err(BusError::Nobody { .. })), "{nobody:?}");
        (bus, messages, subscription)
    };
    let ((hears, heard, _one), (quiet, unheard, _other)) = (with(false), with(true));
    quiet.publish("ohc.a", b"from the quiet one".to_vec()).unwrap();
    assert_eq!(texts(&heard, 1), ["from the quiet one"]);
    hears.publish("ohc.a", b"from the other".to_vec()).unwrap();
    assert_eq!(texts(&heard, 1), ["from the other"]);
    assert_eq!(texts(&unheard, 1), ["from the other"], "and nothing before");
}

#[test]
fn who_is_not_known_is_let_in_nowhere_and_who_may_not_speak_is_told() {
    let config = r#"authorization { users: [
        { user: ada, password: secret, permissions: { publish: ["ohc.a", "_INBOX_test.>"] } }
        { nkey: UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE }
    ] }"#;
    let Some(nats) = Nats::start(config) else { return };
    let runtime = runtime();
    let with = |login| connect(&Options { login, ..options(&nats.url()) }, &runtime);
    let password = |password: &str| {
        let (user, password) = ("ada".to_owned(), password.to_owned());
        with(Login::Password { user, password })
    };
    for refused in [with(Login::Anyone), password("guess"), with(Login::Token("x".into()))] {
        let error = refused.map(drop).unwrap_err();
        assert!(matches!(error, BusError::Denied { .. }), "{error}");
        assert!(error.to_string().contains("hint: check the credentials"), "{error}");
    }
    let seed = nats.dir().join("seed");
    let none = with(Login::Nkey(seed.clone())).map(drop).unwrap_err();
    assert!(matches!(none, BusError::File { .. }), "{none}");
    std::fs::write(&seed, "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ\n").unwrap();
    with(Login::Nkey(seed)).unwrap();
    let (bus, news) = password("secret").unwrap();
    bus.publish("ohc.b", b"not mine".to_vec()).unwrap();
    let refused = until(&news, |news| matches!(news, News::Refused(_)));
    let refused = format!("{refused:?}");
    assert!(refused.contains("Permissions Violation") && refused.contains("; hint: "), "{refused}");
}

#[test]
fn a_server_that_is_not_there_is_waited_for_and_not_for_ever() {
    let Some(mut nats) = Nats::start("") else { return };
    nats.kill();
    let runtime = runtime();
    let brief = Options { patience: Duration::from_millis(200), ..options(&nats.url()) };
    let error = connect(&brief, &runtime).map(drop).unwrap_err();
    assert!(matches!(error, BusError::Absent { .. }), "{error}");
    assert!(error.to_string().contains("hint: is nats-server running there"), "{error}");
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        nats.restart();
        nats
    });
    let url = brief.urls[0].clone();
    connect(&options(&url), &runtime).unwrap();
    drop(late.join().unwrap());
}

#[test]
fn a_server_that_takes_no_slots_is_refused() {
    let Some(nats) = Nats::start("max_payload: 64KB") else { return };
    let error = connect(&options(&nats.url()), &runtime()).map(drop).unwrap_err();
    assert!(matches!(error, BusError::Narrow { .. }), "{error}");
}
