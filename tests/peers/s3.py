"""An S3 that is not Amazon's, for the tests of sources: moto on a port of its own.

Takes the folder whose files become the objects of the bucket `lake`. Prints one line of JSON (the
port, and a key that may read) when it is ready, and ends when its standard input does. From then
on every request must be signed by a key that it knows.
"""

import json
import os
import pathlib
import sys
import urllib.request

os.environ.update(AWS_ACCESS_KEY_ID="setup", AWS_SECRET_ACCESS_KEY="setup")

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
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

urllib.request.urlopen(
    urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
).read()
print(json.dumps({"port": port, "id": key["AccessKeyId"], "key": key["SecretAccessKey"]}))
sys.stdout.flush()
sys.stdin.read()
server.stop()
