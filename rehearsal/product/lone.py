"""A site in a single program: its image has no shell, Node.js or curl. The emulator starts it as an executable."""

import http.server
import json
import os
import sys

import psycopg


class LoneSite(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"version": os.environ["RELEASE"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def migrate() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("create table if not exists pages (path text primary key)")
    sys.stdout.write("pages: migrated\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["migrate"]:
        migrate()
    else:
        where = (os.environ["HOSTNAME"], int(os.environ["PORT"]))
        http.server.ThreadingHTTPServer(where, LoneSite).serve_forever()
