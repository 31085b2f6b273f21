"""A mail server that writes what it gets, one JSON document a line: mail_server.py PORT FILE [CERT KEY]

With a certificate it wants STARTTLS, and then a login as figw with the password of its environment.
"""

import json
import os
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Keeper:
    def __init__(self, path):
        self.path = path

    async def handle_DATA(self, server, session, envelope):
        document = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("utf-8", "replace"),
            "tls": session.ssl is not None,
            "authenticated": bool(session.authenticated),
        }
        with open(self.path, "a", encoding="utf-8") as kept:
            kept.write(json.dumps(document) + "\n")
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    expected = (b"figw", os.environ["MAIL_PASSWORD"].encode())
    good = isinstance(data, LoginPassword) and (data.login, data.password) == expected
    return AuthResult(success=good)


port, path, *tls = sys.argv[1:]
options = {}
if tls:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*tls)
    options = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }
Controller(Keeper(path), hostname="127.0.0.1", port=int(port), **options).start()
print("ready", flush=True)
while True:
    time.sleep(60)
