"""An authority of our own, and a certificate of it for a server on 127.0.0.1.

Takes a folder, and writes ca.pem, server.pem and server-key.pem into it.
"""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

folder = pathlib.Path(sys.argv[1])
now = datetime.datetime.now(datetime.timezone.utc)


def name(common):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def certificate(subject, issuer, key, signer, *extensions):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def write(path, data):
    (folder / path).write_bytes(data)


pem = serialization.Encoding.PEM
authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
is_authority = (x509.BasicConstraints(ca=True, path_length=0), True)
hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
of_server = (x509.SubjectAlternativeName(hosts), False)
write("ca.pem", certificate("ca", "ca", authority, authority, is_authority).public_bytes(pem))
write("server.pem", certificate("server", "ca", server, authority, of_server).public_bytes(pem))
write(
    "server-key.pem",
    server.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ),
)
