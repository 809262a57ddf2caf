"""The target of the demo: a shop with three endpoints, from Python's standard library."""

import json
import random
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body):
        time.sleep(random.uniform(0.002, 0.02))
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/products":
            self.answer(200, [{"id": i} for i in range(1, 101)])
        elif self.path.startswith("/products/"):
            self.answer(200, {"id": int(self.path.rsplit("/", 1)[1]), "price": 42})
        elif self.path == "/healthz":
            self.answer(200, "ok")
        else:
            self.answer(404, "not found")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(201, {"order": random.randint(1, 10**6)})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", 8080), Shop).serve_forever()
