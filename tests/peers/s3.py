"""An S3 that is not Amazon's, for the tests of sources: moto on a port of its own.

Takes the folder whose files become the objects of the bucket `lake`. Prints one line of JSON (the
port, and a key that may read) when it is ready, and ends when its standard input does. From then
on every request must be signed by a key that it knows: in a header, or in its query, which moto
does not check by itself. With `lax` it takes `x-amz-…` headers beside such a query that are not
signed, as some do; with `longer` it takes more bytes than were signed.

With `slow=MS` every answer takes so many milliseconds. With `kept` what is put lies in the folder
before that is said: who is killed can be started again with `port=PORT`, `id=ID` and `key=KEY`.
"""

import datetime
import hashlib
import hmac
import io
import json
import os
import pathlib
import sys
import time
import urllib.parse
import urllib.request

os.environ.update(AWS_ACCESS_KEY_ID="setup", AWS_SECRET_ACCESS_KEY="setup")

import boto3  # noqa: E402
from botocore.auth import S3SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402
from moto.iam.models import iam_backends  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402


def given(name, otherwise):
    """What an option `name=…` says."""
    begin = f"{name}="
    found = [option[len(begin) :] for option in sys.argv if option.startswith(begin)]
    return found[0] if found else otherwise


server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(given("port", 0)), verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://127.0.0.1:{port}"
options = {"endpoint_url": endpoint, "region_name": "us-east-1"}

s3 = boto3.client("s3", **options)
s3.create_bucket(Bucket="lake")
folder = pathlib.Path(sys.argv[1])
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    s3.put_object(Bucket="lake", Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())

iam = boto3.client("iam", **options)
iam.create_user(UserName="reader")
policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}
iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName="reader")["AccessKey"]
# Whoever knows the key of before goes on.
[known] = [
    user.access_keys[0]
    for account in iam_backends.values()
    for backend in account.values()
    for user in backend.users.values()
]
known.access_key_id = key["AccessKeyId"] = given("id", key["AccessKeyId"])
known.secret_access_key = key["SecretAccessKey"] = given("key", key["SecretAccessKey"])


def header(environ, name):
    """A header of a request, as WSGI names it."""
    name = name.upper().replace("-", "_")
    return environ.get(name if name == "CONTENT_LENGTH" else "HTTP_" + name, "")


def is_signed(environ, query):
    """Whether the signature of a request holds, for its own length or, with `longer`, any below."""
    lengths = [header(environ, "content-length")]
    if "longer" in sys.argv:
        lengths += [str(length) for length in range(int(lengths[0] or 0))]
    return any(is_signed_for(length, environ, query) for length in lengths)


def is_signed_for(length, environ, query):
    """Whether the signature in a query holds, and is not too old: AWS Signature Version 4, section
    "Authenticating requests: using query parameters"."""
    given, signed = query["X-Amz-Signature"], dict(query)
    del signed["X-Amz-Signature"]
    identity, day, region, service, kind = query["X-Amz-Credential"].split("/")
    names = query["X-Amz-SignedHeaders"].split(";")

    def value(name):
        return length if name == "content-length" else header(environ, name).strip()

    quoted = {urllib.parse.quote(k, "-_.~"): urllib.parse.quote(v, "-_.~") for k, v in signed.items()}
    canonical = [
        environ["REQUEST_METHOD"],
        environ["REQUEST_URI"].split("?")[0],
        "&".join(f"{name}={value}" for name, value in sorted(quoted.items())),
        *[f"{name}:{value(name)}" for name in names],
        "",
        ";".join(names),
        "UNSIGNED-PAYLOAD",
    ]
    canonical = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    scope = "/".join([day, region, service, kind])
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, canonical])
    secret = ("AWS4" + key["SecretAccessKey"]).encode()
    for part in [day, region, service, kind, text]:
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    begun = datetime.datetime.strptime(query["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    age = datetime.datetime.now(datetime.timezone.utc) - begun
    own = {k[5:].lower().replace("_", "-") for k in environ if k.startswith("HTTP_X_AMZ_")}
    return (
        "host" in names
        and (own <= set(names) or "lax" in sys.argv)
        and identity == key["AccessKeyId"]
        and hmac.compare_digest(secret.hex(), given)
        and age.total_seconds() <= int(query["X-Amz-Expires"])
    )


def checked(app):
    """Refuses requests whose query is signed wrongly; others are signed for moto once more."""

    def call(environ, start):
        query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        if "X-Amz-Signature" not in query:
            return app(environ, start)
        if not query.keys() >= {"X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"}:
            start("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"AuthorizationQueryParametersError"]
        if not is_signed(environ, query):
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"SignatureDoesNotMatch"]
        path = environ["REQUEST_URI"].split("?")[0]
        headers = {"Host": header(environ, "host")}
        request = AWSRequest(environ["REQUEST_METHOD"], endpoint + path, headers)
        credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
        for name in ["Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"]:
            environ["HTTP_" + name.upper().replace("-", "_")] = request.headers[name]
        environ.update(QUERY_STRING="", REQUEST_URI=path, RAW_URI=path)
        return app(environ, start)

    return call


def kept(app):
    """Takes its time, and keeps what is put before it says so."""

    def call(environ, start):
        time.sleep(int(given("slow", 0)) / 1000)
        if environ["REQUEST_METHOD"] != "PUT" or "kept" not in sys.argv:
            return app(environ, start)
        body = environ["wsgi.input"].read(int(header(environ, "content-length")))
        environ["wsgi.input"], statuses = io.BytesIO(body), []

        def begin(status, headers, *more):
            statuses.append(status)
            return start(status, headers, *more)

        answer = list(app(environ, begin))
        if statuses[-1].startswith("200"):
            path = folder / environ["PATH_INFO"].removeprefix("/lake/")
            draft = folder.parent / f"{folder.name}-{hashlib.sha256(body).hexdigest()}"
            draft.write_bytes(body)
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(path)
        return answer

    return call


server._server.app = kept(checked(server._server.app))

urllib.request.urlopen(
    urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
).read()
print(json.dumps({"port": port, "id": key["AccessKeyId"], "key": key["SecretAccessKey"]}))
sys.stdout.flush()
sys.stdin.read()
server.stop()
