//! Bounds before allocation (rule R-13): what lies about its size is refused without the memory
//! that it asks for; and what honest jobs take beside what was estimated. Never runs two tests at a
//! time: the allocator counts for all threads together.
//!
//! The bytes are those of a real run, in which every place is made to tell the greatest number.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

mod away;
mod jobs;

use ohc::base::canon::{Decode, Digest, Encode};
use ohc::compute::encoder::{Encoder, Folder};
use ohc::compute::llama::Llama;
use ohc::compute::predictor::Predictor;
use ohc::compute::table::{ChunkTarget, Surveyor, Table};
use ohc::compute::{Machine, Named, forget, job};
use ohc::domain::command::SignedOrder;
use ohc::domain::cost::{self, Shape};
use ohc::domain::job::{Dealing, Embed, Format, Mode, Part, Perplexity, Reading, Spec, Split};
use ohc::domain::slot::Slot;
use ohc::domain::state::State;
use ohc::effects::artifacts::{Access, ArtifactError, Artifacts};
use ohc::effects::store::Store;
use ohc::node::home::Home;
use peak_alloc::PeakAlloc;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

static ALONE: Mutex<()> = Mutex::new(());

/// What a reader may take for each byte that it is given, and for what it always needs.
const TIMES: usize = 64;
const ALWAYS: usize = 1 << 20;

/// The most bytes that were taken at a time while something ran.
fn most(run: impl FnOnce()) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    run();
    ALLOCATOR.peak_usage().saturating_sub(before)
}

/// A reader takes no more for these bytes than is due to their number, whatever they say.
#[track_caller]
fn check(name: &str, bytes: &[u8], read: &dyn Fn(&[u8])) {
    let bound = ALWAYS + TIMES * bytes.len();
    // Of what is long, places in its beginning and some of all others.
    let stride = (bytes.len() / 700).max(1);
    for at in (0..bytes.len()).step_by(stride).chain(0..bytes.len().min(200)) {
        // The last byte of a number is its highest: without the sign, it is another lie. Numbers in
        // JSON are lies of nines.
        for (size, fill, last) in [2, 4, 8]
            .into_iter()
            .flat_map(|size| [(size, 0xff, 0xff), (size, 0xff, 0x3f), (size, b'9', b'9')])
        {
            let mut lie = bytes.to_vec();
            lie.iter_mut().skip(at).take(size).for_each(|byte| *byte = fill);
            lie.iter_mut().skip(at + size - 1).take(1).for_each(|byte| *byte = last);
            let taken = most(|| read(&lie));
            assert!(taken <= bound, "{name}, {size} bytes at {at}: {taken} bytes were taken");
        }
    }
}

fn alone() -> std::sync::MutexGuard<'static, ()> {
    // A test that failed has left nothing behind.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The home of a run of the quickstart.
static HOME: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    for name in ["iris.yaml", "data/iris.csv"] {
        std::fs::copy(manifests.join(name), dir.path().join(name)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ohc"));
    command.args(["apply", "iris.yaml", "-y"]).current_dir(dir.path());
    command.env("OHC_HOME", dir.path().join("home")).env("OHC_CONFIG", dir.path().join("none"));
    command.env_remove("OHC_NETWORK");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
});

fn home() -> Home {
    Home::find(Some(&HOME.path().join("home")), HOME.path())
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn r13_a_reader_that_believed_a_size_would_be_found() {
    let _alone = alone();
    let bytes = 64u64.to_le_bytes();
    let believes = |bytes: &[u8]| {
        let size = bytes.first_chunk().map_or(0, |size| u64::from_le_bytes(*size));
        drop(Vec::<u8>::with_capacity(size.min(1 << 30) as usize));
    };
    let found = std::panic::catch_unwind(|| check("a believer", &bytes, &believes));
    assert!(found.is_err());
}

#[test]
fn r13_slots_and_orders_that_lie_of_sizes_take_no_memory() {
    let _alone = alone();
    let (store, _) = Store::open(&home().log()).unwrap();
    let slots: Vec<Vec<u8>> = store.iter().map(|slot| slot.unwrap().1).collect();
    assert!(slots.len() > 3);
    for bytes in &slots {
        check("a slot", bytes, &|bytes| drop(Slot::from_bytes(bytes)));
        for order in Slot::from_bytes(bytes).unwrap().commands {
            check("an order", &order.to_bytes(), &|bytes| drop(SignedOrder::from_bytes(bytes)));
        }
    }
}

#[test]
fn r13_snapshots_that_lie_of_sizes_take_no_memory() {
    let _alone = alone();
    let site = ohc::node::apply::Site::open(home(), 2).unwrap();
    let snapshot = site.view().state.snapshot();
    assert!(State::restore(&snapshot).is_ok());
    check("a snapshot", &snapshot, &|bytes| drop(State::restore(bytes)));
}

#[test]
fn r13_tables_and_models_that_lie_of_sizes_take_no_memory() {
    let _alone = alone();
    let mut found = Vec::new();
    files(&home().artifacts(), &mut found);
    let (mut tables, mut models) = (0, 0);
    for bytes in found.iter().map(|path| std::fs::read(path).unwrap()) {
        if Table::from_bytes(&bytes).is_ok() {
            tables += 1;
            check("a table", &bytes, &|bytes| drop(Table::from_bytes(bytes)));
        } else if Predictor::from_bytes(&bytes).is_ok() {
            models += 1;
            check("a model", &bytes, &|bytes| drop(Predictor::from_bytes(bytes)));
        }
    }
    assert!(tables > 2 && models > 3, "{tables} tables, {models} models");
}

#[test]
fn r13_networks_that_lie_of_sizes_take_no_memory() {
    let _alone = alone();
    let packed = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/data").join(name);
        let mut network = Folder::new();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            network.add(name, std::fs::read(folder.join(name)).unwrap()).unwrap();
        }
        network.pack().unwrap()
    };
    let (encoder, llama) = (packed("small-bert"), packed("small-llama"));
    assert!(Encoder::from_bytes(&encoder).is_ok() && Llama::from_bytes(&llama).is_ok());
    check("an encoder", &encoder, &|bytes| drop(Encoder::from_bytes(bytes)));
    check("a llama", &llama, &|bytes| drop(Llama::from_bytes(bytes)));
    // A file of llama.cpp: a matrix and a list, whose sizes are what lies.
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let numbers = |all: &[u32]| all.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let list = [numbers(&[9, 8, 2, 0]), text("a"), text("b")].concat();
    let gguf = [
        b"GGUF".to_vec(),
        numbers(&[3, 1, 0, 1, 0]),
        text("tokenizer.ggml.tokens"),
        list,
        text("token_embd.weight"),
        numbers(&[2, 4, 0, 2, 0, 0, 0, 0]),
        vec![0; 64],
    ];
    check("a GGUF file", &gguf.concat(), &|bytes| drop(Llama::from_bytes(bytes)));
}

#[test]
fn r13_a_survey_holds_two_chunks_and_a_row_and_no_more() {
    let _alone = alone();
    let json = Reading { format: Format::Json, ..Reading::csv() };
    let rows = |row: &str| row.repeat((1 << 20) / row.len());
    let texts = [
        (Reading::csv(), "a,b\n".to_owned(), rows("1,x\n")),
        (Reading::csv(), "a\n".to_owned(), rows("\"")),
        (Reading::csv(), "a\n".to_owned(), rows(",")),
        (json.clone(), String::new(), rows("{\"a\": 1}\n")),
        (json, String::new(), rows("{\"a\": [")),
    ];
    for (reading, head, piece) in texts {
        let taken = most(|| {
            let mut surveyor = Surveyor::new(&reading, Some(ChunkTarget::Bytes(4 << 20)));
            let pieces = std::iter::repeat_n(piece.as_bytes(), 128);
            // Until one is refused: then it is given up.
            let _ = std::iter::once(head.as_bytes())
                .chain(pieces)
                .try_for_each(|bytes| surveyor.feed(bytes).map(drop));
        });
        assert!(taken < 64 << 20, "{taken} bytes were taken for {:?}", piece.get(..8));
    }
}

/// A file of a folder of the project.
fn folder(name: &str) -> Vec<u8> {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/data").join(name);
    let mut folder = Folder::new();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        folder.add(name, std::fs::read(at.join(name)).unwrap()).unwrap();
    }
    folder.pack().unwrap()
}

#[test]
fn what_a_job_takes_is_about_what_was_estimated_and_less_than_its_bound() {
    let _alone = alone();
    let row =
        |at: usize| format!("{at},{}.5,the staff was very friendly and the room cold\n", at % 7);
    let rows = |count: usize| format!("id,x,text\n{}", (0..count).map(row).collect::<String>());
    let split = Split {
        ratios: vec![("a".into(), 0.9), ("b".into(), 0.1)],
        dealing: Dealing::Rows,
        seed: 1,
    };
    let embed = Embed {
        column: "text".into(),
        length: None,
        pooling: None,
        normalize: None,
        part: Part::WHOLE,
        mode: Mode::Exact,
    };
    let perplexity = Perplexity { column: "text".into(), joined: true, length: 32, stride: 16 };
    let named = |name: &str, bytes: Vec<u8>| Named { name: name.into(), bytes };
    let encoder = || vec![named("encoder", folder("small-bert"))];
    let model = || vec![named("model", folder("small-llama"))];
    for (spec, count, columns, others) in [
        (Spec::Split(split), 300_000, 3, Vec::new()),
        (Spec::Embed(embed), 20_000, 32, encoder()),
        (Spec::Perplexity(perplexity), 5_000, 0, model()),
    ] {
        let kind = spec.kind();
        let table = Table::from_csv(rows(count).as_bytes()).unwrap().to_bytes();
        let inputs = [vec![named("table", table)], others].concat();
        let shape = |at: usize, input: &Named| Shape {
            rows: if at == 0 { count as u64 } else { 0 },
            columns: if at == 0 { 3 } else { columns },
            bytes: input.bytes.len() as u64,
            ..Shape::default()
        };
        let shapes: Vec<Shape> = inputs.iter().enumerate().map(|(at, i)| shape(at, i)).collect();
        let memory = cost::estimate(&spec, &shapes).0.memory.unwrap();
        let given: usize = inputs.iter().map(|input| input.bytes.len()).sum();
        let taken = most(|| {
            job::run(&Machine::default(), &spec, &inputs, &mut |_| {}, &mut forget).unwrap();
        });
        let taken = (given + taken) as u64;
        println!("{kind}: {taken} taken, {} estimated", memory.estimate);
        assert!(taken <= 2 * memory.estimate, "{kind}: {taken} beyond twice {memory:?}");
        assert!(taken <= memory.bound, "{kind}: {taken} beyond {memory:?}");
        assert!(memory.estimate <= 4 * taken, "{kind}: {memory:?} for {taken}");
    }
}

/// A server of one artifact: the same piece, so many times.
fn serve(piece: &'static [u8], times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            let length = piece.len() * times;
            let head = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nConnection: close";
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{head}\r\n\r\n")
                .unwrap();
            // Who asks may have heard enough.
            let _ = (0..times).try_for_each(|_| stream.write_all(piece));
        }
    });
    url
}

#[test]
fn r13_who_looks_whether_an_artifact_is_whole_holds_a_piece_of_it_at_a_time() {
    static PIECE: [u8; 1 << 16] = [7; 1 << 16];
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let times = 1_024;
    let digest = Digest::of(&PIECE.repeat(times));
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open_shared(dir.path(), &serve(&PIECE, times), &Access::default());
    let (artifacts, runtime) = (artifacts.unwrap(), tokio::runtime::Runtime::new().unwrap());
    let other = Digest::of(b"other");
    let taken = most(|| {
        runtime.block_on(artifacts.look(digest)).unwrap();
        let damaged = runtime.block_on(artifacts.look(other));
        assert!(matches!(damaged, Err(ArtifactError::Damaged { .. })), "{damaged:?}");
    });
    assert!(taken < 16 << 20, "{taken} bytes for an artifact of {}", PIECE.len() * times);
}
