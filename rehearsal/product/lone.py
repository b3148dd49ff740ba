"""A site of one program: its image has no shell, no Node.js, no curl. Started by the emulator, as any executable."""

import http.server
import json
import os


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"version": os.environ["RELEASE"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    where = (os.environ["HOSTNAME"], int(os.environ["PORT"]))
    http.server.ThreadingHTTPServer(where, Site).serve_forever()
