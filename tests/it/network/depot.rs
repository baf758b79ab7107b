//! The store that all nodes reach, in a bucket of an S3 of another make: what one puts another
//! gets, and a wrong byte, a wrong key and a store that is gone are told apart. Never asks a real
//! cloud.

use crate::sources::buckets::S3;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStoreExt as _, PutPayload};
use ohc::base::canon::Digest;
use ohc::domain::job::{Chunk, Pin};
use ohc::effects::artifacts::{Access, ArtifactError, Artifacts};
use ohc::effects::sources::Patience;
use ohc::node::upload::upload;
use std::path::Path;
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
    Access { settings: Some(settings), patience }
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
