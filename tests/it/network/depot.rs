//! The store that all nodes reach, in a bucket of an S3 of another make: what one puts another
//! gets, and a wrong byte, a wrong key and a store that is gone are told apart; and requests that
//! are signed for others do what they are for and nothing else. Never asks a real cloud.

use crate::sources::buckets::S3;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStoreExt as _, PutPayload};
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::domain::job::{Chunk, Pin};
use ohc::effects::artifacts::{Access, Act, ArtifactError, Artifacts, ObjectRequest, Presigner};
use ohc::effects::sources::Patience;
use ohc::node::upload::Load;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const URL: &str = "s3://lake/networks/lab";

fn access(s3: &S3, key: &str) -> Access {
    let endpoint = format!("http://127.0.0.1:{}", s3.port);
    let settings = [
        ("aws_endpoint_url", endpoint.as_str()),
        ("aws_region", "us-east-1"),
        ("aws_access_key_id", &s3.id),
        ("aws_secret_access_key", key),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let second = Duration::from_secs(1);
    let patience = Patience { connect: second, silence: second * 10, retries: 0 };
    Access { settings: Some(settings), patience, presigner: None }
}

fn node(dir: &Path, name: &str, access: &Access) -> Artifacts {
    Artifacts::open_shared(&dir.join(name), URL, access).unwrap()
}

/// The pin of a source of one chunk for each text.
fn pin(chunks: &[Digest]) -> Pin {
    // How many bytes its rows have says nothing of those of the artifact.
    let chunk =
        |digest: &Digest| Chunk { digest: *digest, bytes: 1, rows: 1, first_line: 1, groups: None };
    Pin {
        source: "rows".into(),
        digest: Digest::default(),
        bytes: 8,
        rows: chunks.len() as u64,
        columns: Vec::new(),
        chunks: chunks.iter().map(chunk).collect(),
    }
}

#[test]
fn a_bucket_is_a_store_that_all_nodes_reach() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, empty) = (dir.path(), dir.path().join("objects"));
    std::fs::create_dir(&empty).unwrap();
    let s3 = S3::start(&empty);
    let good = access(&s3, &s3.key);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, worker) = (node(dir, "client", &good), node(dir, "worker", &good));
        let early = worker.put(b"early").await.unwrap_err();
        assert!(early.is_passing(), "nobody has begun it: {early}");

        let own = Artifacts::open(&dir.join("client")).unwrap();
        let rows = [own.put(b"1,2\n").await.unwrap(), own.put(b"3,4\n").await.unwrap()];
        client.begin().await.unwrap();
        let (pins, mut told) = ([pin(&rows)], Vec::new());
        let load = Load::of(&client, &pins, &|_| false).await.unwrap();
        load.bring(&client, &mut |done, of| told.push((done, of))).await.unwrap();
        assert_eq!(told, [(0, 2), (1, 2), (2, 2)]);
        // What others have brought is not sent again, unless it is something else.
        let other = node(dir, "other", &good);
        assert_eq!(Load::of(&other, &pins, &|_| false).await.unwrap(), Load::default());
        overwrite(&s3, rows[1], b"5,6\n").await;
        let known = Load::of(&node(dir, "third", &good), &pins, &|_| true).await.unwrap();
        assert_eq!(known, Load::default(), "it is there");
        let own = Artifacts::open(&dir.join("fourth")).unwrap();
        own.put(b"3,4\n").await.unwrap();
        let fourth = node(dir, "fourth", &good);
        let junk = Load::of(&fourth, &pins, &|_| false).await.unwrap();
        assert_eq!(junk.bytes(), 4 + 1024);
        junk.bring(&fourth, &mut |_, _| {}).await.unwrap();
        assert_eq!(worker.get(rows[1]).await.unwrap(), b"3,4\n");

        let model = worker.put(b"model").await.unwrap();
        let again = node(dir, "second", &good).put(b"model").await.unwrap();
        assert_eq!(again, model, "two workers may have the same result");
        let never = client.get(Digest::of(b"never")).await;
        assert!(matches!(never, Err(ArtifactError::Missing { .. })), "{never:?}");

        overwrite(&s3, model, b"modem").await;
        let wrong = client.get(model).await;
        assert!(matches!(wrong, Err(ArtifactError::Damaged { .. })), "{wrong:?}");
        node(dir, "fifth", &good).put(b"model").await.unwrap();
        assert_eq!(client.get(model).await.unwrap(), b"model", "nobody healed it");

        let stranger = node(dir, "stranger", &access(&s3, "hunter2-hunter2"));
        let denied = stranger.get(model).await.unwrap_err();
        assert!(matches!(denied, ArtifactError::Away { .. }) && !denied.is_passing(), "{denied}");
        assert!(!denied.to_string().contains("hunter2"), "{denied}");

        drop(s3);
        let gone = node(dir, "late", &good).get(model).await.unwrap_err();
        assert!(gone.is_passing(), "{gone}");
        assert_eq!(client.get(model).await.unwrap(), b"model", "the copy here will do");
    });
}

async fn overwrite(s3: &S3, digest: Digest, bytes: &'static [u8]) {
    let builder = AmazonS3Builder::new().with_bucket_name("lake").with_region("us-east-1");
    let builder = builder.with_endpoint(format!("http://127.0.0.1:{}", s3.port));
    let builder = builder.with_allow_http(true).with_access_key_id(&s3.id);
    let store = builder.with_secret_access_key(&s3.key).build().unwrap();
    let hex = digest.to_string();
    let (shelf, name) = hex.split_at(2);
    let path = format!("networks/lab/{shelf}/{name}");
    store.put(&path.into(), PutPayload::from_static(bytes)).await.unwrap();
}

const LEASE: LeaseId = LeaseId { block: BlockId { run: RunId(7), index: 3 }, attempt: 2 };

/// What is made of a signature before it is handed on.
type Change = fn(String) -> Option<String>;

/// Signs with the credentials of another node; the first so many signatures are changed.
#[derive(Debug)]
struct Other {
    node: Artifacts,
    change: Change,
    times: usize,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Presigner for Other {
    async fn presign(&self, act: Act, path: &str, _turn: usize) -> Option<String> {
        let request = ObjectRequest::of(Some(LEASE), act, path, 0)?;
        let query = self.node.presign(request, false).await.ok().flatten()?;
        match self.asked.fetch_add(1, Ordering::SeqCst) < self.times {
            true => (self.change)(query),
            false => Some(query),
        }
    }
}

/// A node without credentials, for which one with some signs.
fn without(dir: &Path, s3: &S3, name: &str, (change, times): (Change, usize)) -> Artifacts {
    let (node, asked) = (node(dir, "validator", &access(s3, &s3.key)), AtomicUsize::new(0));
    let presigner = Some(Arc::new(Other { node, change, times, asked }) as Arc<dyn Presigner>);
    let settings = access(s3, "").settings.map(|known| known[..2].to_vec());
    super::depot::node(dir, name, &Access { settings, presigner, ..access(s3, "") })
}

const AS_IT_IS: (Change, usize) = (Some, 0);

#[test]
fn who_has_no_credentials_reads_and_writes_what_others_sign_for_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, empty) = (dir.path(), dir.path().join("objects"));
    std::fs::create_dir(&empty).unwrap();
    let s3 = S3::start(&empty);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = node(dir, "client", &access(&s3, &s3.key));
        client.begin().await.unwrap();
        let data = client.put(b"data").await.unwrap();

        let worker = without(dir, &s3, "worker", AS_IT_IS);
        assert_eq!(worker.get(data).await.unwrap(), b"data");
        let model = worker.put(b"model").await.unwrap();
        assert_eq!(client.get(model).await.unwrap(), b"model");
        assert!(worker.has(model).await.unwrap());
        let never = worker.get(Digest::of(b"never")).await;
        assert!(matches!(never, Err(ArtifactError::Missing { .. })), "{never:?}");
        // What is there already is looked at, not written again.
        assert_eq!(without(dir, &s3, "second", AS_IT_IS).put(b"model").await.unwrap(), model);

        // Some sign wrongly, or not at all, or something else; others are asked.
        let wrong: [Change; 5] = [
            |_| None,
            |_| Some("not a query \n".into()),
            |query| Some(query + "&versionId=1"),
            |query| Some(query.replace("X-Amz-Date=2", "X-Amz-Date=1")),
            |query| Some(query.replace("X-Amz-Signature=", "X-Amz-Signature=0")),
        ];
        for (number, change) in (0u8..).zip(wrong) {
            let other = without(dir, &s3, &format!("other-{number}"), (change, 2));
            let digest = other.put(&[number]).await.unwrap_or_else(|e| panic!("{number}: {e}"));
            assert_eq!(client.get(digest).await.unwrap(), [number]);
        }
        let none = without(dir, &s3, "none", (|_| None, 99)).get(data).await.unwrap_err();
        assert!(none.is_passing() && none.to_string().contains("no validator signs"), "{none}");

        // Damaged bytes are replaced, and no others.
        overwrite(&s3, model, b"modem").await;
        without(dir, &s3, "late", AS_IT_IS).put(b"model").await.unwrap();
        let healed = node(dir, "fresh", &access(&s3, &s3.key)).get(model).await;
        assert_eq!(healed.unwrap(), b"model");
        let act = Act::Replace { bytes: 5 };
        let replace = ObjectRequest { lease: Some(LEASE), act, artifact: Some(model), at: 0 };
        assert_eq!(client.presign(replace, false).await.unwrap(), None, "it is as it should be");
        let mark = ObjectRequest { artifact: None, ..replace };
        overwrite(&s3, Digest::default(), b"ohc artifacts 1\n").await;
        assert_eq!(client.presign(mark, false).await.unwrap(), None, "nobody writes the mark");
        create_alone(&s3, &client, data).await;
    });
}

#[test]
fn nobody_signs_writes_where_a_store_takes_what_was_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, empty) = (dir.path(), dir.path().join("objects"));
    std::fs::create_dir(&empty).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = |option: &str, name: &str| {
        let s3 = S3::start_with(&empty, &[option]);
        runtime.block_on(async {
            let client = node(dir, name, &access(&s3, &s3.key));
            client.begin().await.unwrap();
            let data = client.put(b"data").await.unwrap();
            let artifact = Some(data);
            let request = |act| ObjectRequest { lease: Some(LEASE), act, artifact, at: 0 };
            assert!(client.presign(request(Act::Read), false).await.unwrap().is_some());
            let create = request(Act::Create { bytes: 4 });
            client.presign(create, false).await.unwrap_err().to_string()
        })
    };
    let lax = refused("lax", "first");
    assert!(lax.contains("nobody signed") && lax.contains("deploy/s3/haproxy.cfg"), "{lax}");
    let longer = refused("longer", "second");
    assert!(longer.contains("more bytes than were signed"), "{longer}");
    let folder = format!("file://{}", dir.join("folder").display());
    let closed = Artifacts::open_shared(dir, &folder, &Access::default()).unwrap();
    let request = ObjectRequest { lease: None, act: Act::Read, artifact: None, at: 0 };
    let unsigned = runtime.block_on(closed.presign(request, false)).unwrap_err();
    assert!(matches!(unsigned, ArtifactError::Unsigned));
}

/// What is signed for creation creates, under its condition, once and in no other place.
async fn create_alone(s3: &S3, signer: &Artifacts, there: Digest) {
    let new = Digest::of(b"new");
    let query = async |artifact| {
        let (act, artifact) = (Act::Create { bytes: 3 }, Some(artifact));
        let request = ObjectRequest { lease: Some(LEASE), act, artifact, at: 0 };
        signer.presign(request, false).await.unwrap().unwrap()
    };
    let (fresh, known) = (query(new).await, query(there).await);
    let condition = "If-None-Match: *\r\n";
    assert_eq!(send(s3, "PUT", new, &fresh, ""), 403, "the condition is left out");
    assert_eq!(send(s3, "PUT", new, &fresh, "If-None-Match: x\r\n"), 403, "it is another");
    let copies = format!("{condition}x-amz-copy-source: /lake/networks/lab/ohc-store\r\n");
    assert_eq!(send(s3, "PUT", new, &fresh, &copies), 403, "it would be a copy");
    assert_eq!(send(s3, "DELETE", there, &known, condition), 403, "it is for another act");
    assert_eq!(send(s3, "PUT", there, &fresh, condition), 403, "it is for another object");
    assert_eq!(send(s3, "PUT", there, &known, condition), 412, "something is there");
    let longer = format!("{condition}Content-Length: 4\r\n");
    assert_eq!(send(s3, "PUT", new, &fresh, &longer), 403, "it has another length");
    assert_eq!(send(s3, "PUT", new, &fresh, condition), 200);
    assert_eq!(send(s3, "PUT", new, &fresh, condition), 412, "it is there now");
    assert_eq!(signer.get(there).await.unwrap(), b"data");
}

/// The status of the answer to a request.
fn send(s3: &S3, method: &str, object: Digest, query: &str, headers: &str) -> u16 {
    let (hex, port) = (object.to_string(), s3.port);
    let (shelf, name) = hex.split_at(2);
    let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
    let length = if headers.contains("Content-Length") { "" } else { "Content-Length: 3\r\n" };
    let request = format!(
        "{method} /lake/networks/lab/{shelf}/{name}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         {headers}{length}Connection: close\r\n\r\nnew!"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
