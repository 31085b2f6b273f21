"""The gateway's side of streamed answers, as small as can be, with FIRST's limits.

Prints its port, then each post as a line of JSON. STATUS makes it refuse every post.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMITS = {"data": 150_000, "error": 15_000, "done": 15_000}


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        kind = self.path.removeprefix("/resource_server/api/streaming/").removesuffix("/")
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        status = int(os.environ.get("STATUS", "200"))
        if length > LIMITS[kind]:
            status = 413
        elif self.headers["X-Internal-Secret"] != "internal" or body["type"] != kind:
            status = 401
        elif self.headers["X-Stream-Task-Token"] != "token":
            status = 403
        print(json.dumps({"status": status, "bytes": length, **body}), flush=True)
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
