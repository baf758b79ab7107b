//! The store that all nodes reach, in a bucket of an S3 of another make: what one puts another
//! gets, and a wrong byte, a wrong key and a store that is gone are told apart; and requests that
//! are signed for others do what they are for and nothing else. Never asks a real cloud.

use crate::sources::buckets::S3;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStoreExt as _, PutPayload};
use ohc::base::canon::Digest;
use ohc::domain::job::{Chunk, Pin};
use ohc::effects::artifacts::{Access, Act, ArtifactError, Artifacts, ObjectRequest, Presigner};
use ohc::effects::sources::Patience;
use ohc::node::upload::upload;
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
    let chunk =
        |digest: &Digest| Chunk { digest: *digest, bytes: 4, rows: 1, first_line: 1, groups: None };
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
        let mut told = Vec::new();
        upload(&client, &[pin(&rows)], &mut |done, of| told.push((done, of))).await.unwrap();
        assert_eq!(told, [(0, 2), (1, 2), (2, 2)]);
        upload(&node(dir, "other", &good), &[pin(&rows)], &mut |_, _| {}).await.unwrap();
        assert_eq!(worker.get(rows[1]).await.unwrap(), b"3,4\n");

        let model = worker.put(b"model").await.unwrap();
        let again = node(dir, "second", &good).put(b"model").await.unwrap();
        assert_eq!(again, model, "two workers may have the same result");
        let never = client.get(Digest::of(b"never")).await;
        assert!(matches!(never, Err(ArtifactError::Missing { .. })), "{never:?}");

        overwrite(&s3, model, b"modem").await;
        let wrong = client.get(model).await;
        assert!(matches!(wrong, Err(ArtifactError::Damaged { .. })), "{wrong:?}");
        node(dir, "third", &good).put(b"model").await.unwrap();
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

/// Signs with the credentials of another node, but for the first so many times, in which it gives
/// `wrong`.
#[derive(Debug)]
struct Other {
    node: Artifacts,
    wrong: Option<&'static str>,
    times: usize,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Presigner for Other {
    async fn presign(&self, act: Act, path: &str) -> Option<String> {
        if self.asked.fetch_add(1, Ordering::SeqCst) < self.times {
            return self.wrong.map(str::to_owned);
        }
        self.node.presign(ObjectRequest::of(act, path)?).await.ok()
    }
}

#[test]
fn who_has_no_credentials_reads_and_writes_what_others_sign_for_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, empty) = (dir.path(), dir.path().join("objects"));
    std::fs::create_dir(&empty).unwrap();
    let s3 = S3::start(&empty);
    let good = access(&s3, &s3.key);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let without = |name: &str, wrong, times| {
        let (node, asked) = (node(dir, "validator", &good), AtomicUsize::new(0));
        let presigner = Some(Arc::new(Other { node, wrong, times, asked }) as Arc<dyn Presigner>);
        let settings = access(&s3, "").settings.map(|known| known[..2].to_vec());
        super::depot::node(dir, name, &Access { settings, presigner, ..access(&s3, "") })
    };
    runtime.block_on(async {
        let client = node(dir, "client", &good);
        client.begin().await.unwrap();
        let data = client.put(b"data").await.unwrap();

        let worker = without("worker", None, 0);
        assert_eq!(worker.get(data).await.unwrap(), b"data");
        let model = worker.put(b"model").await.unwrap();
        assert_eq!(client.get(model).await.unwrap(), b"model");
        assert!(worker.has(model).await.unwrap());
        let never = worker.get(Digest::of(b"never")).await;
        assert!(matches!(never, Err(ArtifactError::Missing { .. })), "{never:?}");
        // What is there already is looked at, not written again.
        assert_eq!(without("second", None, 0).put(b"model").await.unwrap(), model);

        // Some sign wrongly, or not at all; others are asked.
        for wrong in [None, Some("X-Amz-Signature=00"), Some("not a query \n")] {
            let bytes = wrong.unwrap_or_default().as_bytes();
            let digest = without("other", wrong, 3).put(bytes).await;
            assert!(digest.is_ok(), "{wrong:?}: {digest:?}");
            let none = without("none", wrong, 99).get(data).await.unwrap_err();
            assert!(matches!(none, ArtifactError::Away { .. }), "{wrong:?}: {none}");
        }

        // Nobody without credentials writes over what is there, be it damaged.
        overwrite(&s3, model, b"modem").await;
        let over = without("late", None, 0).put(b"model").await.unwrap_err();
        assert!(matches!(over, ArtifactError::Away { .. }), "{over}");
        create_alone(&s3, &client, data).await;
    });
}

/// What is signed for creation creates, under its condition, once and in no other place.
async fn create_alone(s3: &S3, signer: &Artifacts, there: Digest) {
    let new = Digest::of(b"new");
    let query = async |artifact| {
        let request = ObjectRequest { act: Act::Create, artifact: Some(artifact) };
        signer.presign(request).await.unwrap()
    };
    let (fresh, known) = (query(new).await, query(there).await);
    let condition = "If-None-Match: *\r\n";
    assert_eq!(send(s3, "PUT", new, &fresh, ""), 403, "the condition is left out");
    assert_eq!(send(s3, "PUT", new, &fresh, "If-None-Match: x\r\n"), 403, "it is another");
    assert_eq!(send(s3, "DELETE", there, &known, condition), 403, "it is for another act");
    assert_eq!(send(s3, "PUT", there, &fresh, condition), 403, "it is for another object");
    assert_eq!(send(s3, "PUT", there, &known, condition), 412, "something is there");
    assert_eq!(send(s3, "PUT", new, &fresh, condition), 200);
    assert_eq!(send(s3, "PUT", new, &fresh, condition), 412, "it is there now");
    assert_eq!(signer.get(there).await.unwrap(), b"data");
}

/// The status of the answer to a request.
fn send(s3: &S3, method: &str, object: Digest, query: &str, headers: &str) -> u16 {
    let (hex, port) = (object.to_string(), s3.port);
    let (shelf, name) = hex.split_at(2);
    let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
    let request = format!(
        "{method} /lake/networks/lab/{shelf}/{name}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         {headers}Content-Length: 3\r\nConnection: close\r\n\r\nnew"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
