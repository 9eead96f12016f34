"""A server on loopback that answers chats as a test wants, for language-model clients."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeServer:
    """Answer every POST by ``behave(handler, number)``, the requests numbered from 1; use it as a context.

    Attributes
    ----------
    url : str
        What `base_url` should be.
    requests : list of (path, headers, body)
    """

    def __init__(self, behave):
        self.requests = []
        self.ended = threading.Event()
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    outer.requests.append((self.path, dict(self.headers), json.loads(body)))
                    number = len(outer.requests)
                # A client that gives up closes the connection, as it should.
                with suppress(BrokenPipeError, ConnectionResetError):
                    behave(self, number)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self):
        serve = {"poll_interval": 0.01}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def send(handler, body, status=200, headers=()):
    """Send a whole answer."""
    body = body if isinstance(body, bytes) else body.encode()
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def chat(content, *, usage=None, **choice):
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"message": message, **choice}], "usage": usage})
