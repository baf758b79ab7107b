//! AWS Signature Version 4 in the query of a request, with its length among what is signed. Never
//! makes an address: signs one again that `object_store` has signed, whose signer leaves lengths
//! out.
//!
//! Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".

use object_store::aws::AwsCredential;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::fmt::Write as _;
use url::{Position, Url};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SIGNATURE: &str = "X-Amz-Signature=";
const HEADERS: &str = "X-Amz-SignedHeaders=";

/// The query of a presigned request of this method, signed once more: for requests that have these
/// headers beside `host`, given in lower case, and no others that count. None where the address is
/// not presigned, or with another credential.
pub(super) fn query(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    credential: &AwsCredential,
) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let part = |name| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
    let (date, identity) = (part("X-Amz-Date")?, part("X-Amz-Credential")?);
    let scope = identity.strip_prefix(credential.key_id.as_str())?.strip_prefix('/')?;
    let mut headers = headers.to_vec();
    headers.push(("host", &url[Position::BeforeHost..Position::AfterPort]));
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let left = url.query()?.split('&');
    let left = left.filter(|pair| !pair.starts_with(SIGNATURE) && !pair.starts_with(HEADERS));
    let signed = format!("{HEADERS}{}", names.replace(';', "%3B"));
    let mut pairs: Vec<&str> = left.chain([signed.as_str()]).collect();
    pairs.sort_unstable();
    let (path, pairs) = (url.path(), pairs.join("&"));
    let request = format!("{method}\n{path}\n{pairs}\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    let request = hex(digest(&SHA256, request.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{request}");
    let secret = format!("AWS4{}", credential.secret_key);
    let key = scope.split('/').fold(secret.into_bytes(), |key, part| mac(&key, part));
    Some(format!("{pairs}&{SIGNATURE}{}", hex(&mac(&key, &text))))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::aws::AmazonS3Builder;
    use object_store::signer::{HeaderName, Method, SignedUrlOptions, Signer as _};
    use object_store::{HeaderValue, path::Path};
    use std::time::Duration;

    #[test]
    fn what_object_store_can_sign_has_the_signature_that_it_gives() {
        crate::effects::install_tls();
        let store = AmazonS3Builder::new().with_bucket_name("lake").with_region("eu-west-3");
        let store = store.with_endpoint("http://127.0.0.1:9000").with_allow_http(true);
        let (id, token) = ("AKIAEXAMPLE", "a+token/of=some=kind==");
        let store = store.with_access_key_id(id).with_secret_access_key("secret/key+");
        let store = store.with_token(token).build().unwrap();
        let mut credential = AwsCredential {
            key_id: id.into(),
            secret_key: "secret/key+".into(),
            token: Some(token.into()),
        };
        let header = HeaderName::from_static("if-none-match");
        let options =
            SignedUrlOptions::new().with_signed_header(header, HeaderValue::from_static("*"));
        let path = Path::from("networks/my lab/ab/cd");
        let url = store.signed_url_opts(Method::PUT, &path, Duration::from_secs(600), &options);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let url = runtime.block_on(url).unwrap().to_string();
        let signature = |query: &str| query.split_once(SIGNATURE).map(|(_, hex)| hex.to_owned());
        let condition = ("if-none-match", "*");
        let again = query(&url, "PUT", &[condition], &credential).unwrap();
        assert_eq!(signature(&again), signature(&url));
        let longer = query(&url, "PUT", &[condition, ("content-length", "7")], &credential);
        assert!(longer.as_deref().unwrap().contains("=content-length%3Bhost%3Bif-none-match&"));
        assert_ne!(signature(&longer.unwrap()), signature(&url));
        credential.key_id = "AKIAANOTHER".into();
        assert_eq!(query(&url, "PUT", &[condition], &credential), None);
    }
}
