"""Serve the built site to this machine: python tools/serve.py _build/html 8000"""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


class QuietHandler(SimpleHTTPRequestHandler):
    """Logs only what was asked for and is not there."""

    def log_request(self, code="-", size="-"):
        pass

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")  # a rebuilt page shows at once
        super().end_headers()


def main() -> None:
    folder, port = sys.argv[1:]
    try:
        server = ThreadingHTTPServer((HOST, int(port)), partial(QuietHandler, directory=folder))
    except (OSError, OverflowError, ValueError) as problem:
        sys.exit(f"serve: port {port} cannot be used ({problem}); try another, as in PORT=8001")
    print(f"The book is at http://{HOST}:{server.server_port}/ (Ctrl-C stops it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
