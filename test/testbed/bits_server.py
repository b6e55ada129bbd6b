"""A server of the BITS Upload Protocol over a folder; written from [MC-BUP] with Python's http.server alone.

It is as far from ours as the protocol lets it be: IIS's style of headers, overlaps answered with 416 as [MC-BUP]
3.2.5.2.6 says, and faults on demand. What is closed is a file; nothing is checked.

usage: bits_server.py FOLDER [--max-fragment BYTES] [--forget-after FRAGMENTS] [--fail-closes N] [--drop-after FRAGMENTS]
                      [--user U --password P] [--overwrite]

  --max-fragment   longer fragments are answered 413
  --forget-after   the session is lost once, after so many fragments: 500 with BG_E_SESSION_NOT_FOUND
  --fail-closes    so many Close-Session packets are answered 503
  --drop-after     the connection breaks once, in the middle of the fragment after so many

Prints {"port": …}, then one JSON line for each packet.
"""
import argparse
import base64
import http.server
import json
import os
import re
import threading
import uuid

PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}"
SESSION_NOT_FOUND = "0x8020001F"
ACCESS_DENIED = "0x80070005"
INVALID_ARGUMENT = "0x80070057"
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$", re.IGNORECASE)


class Refusal(Exception):
    def __init__(self, status, code=None, headers=None):
        super().__init__(status)
        self.status, self.code, self.headers = status, code, headers or {}


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, options):
        super().__init__(("127.0.0.1", 0), Handler)
        self.options = options
        self.sessions = {}
        self.lock = threading.Lock()
        self.fragments = 0
        self.failed_closes = 0
        self.has_forgotten = False
        self.has_dropped = False

    def handle_error(self, request, client_address):
        """A client that was killed is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_BITS_POST(self):
        packet = self.headers.get("BITS-Packet-Type", "").lower()
        length = int(self.headers.get("Content-Length", "0"))
        with self.server.lock:
            try:
                headers = self.answer(packet, length)
                status, code = 200, None
            except Refusal as refusal:
                status, code, headers = refusal.status, refusal.code, refusal.headers
        if headers is None:
            self.close_connection = True
            return
        print(json.dumps({"packet": packet, "status": status, "bytes": length}), flush=True)
        self.send_response(status)
        self.send_header("BITS-Packet-Type", "Ack")
        for name, value in headers.items():
            self.send_header(name, value)
        if code is not None:
            # The name that [MC-BUP] gives it; ours sends both.
            self.send_header("BITS-Error", code)
            self.send_header("BITS-Error-Context", "0x5")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, packet, length):
        body_is_read = False
        try:
            self.authorise()
            if packet == "fragment":
                session = self.session()
                body_is_read = True
                return self.fragment(session, length)
        finally:
            if not body_is_read:
                self.rfile.read(length)
        if packet == "ping":
            return {}
        if packet == "create-session":
            return self.create()
        if packet == "close-session":
            return self.close()
        if packet == "cancel-session":
            self.server.sessions.pop(self.session_id(), None)
            return {}
        raise Refusal(400, INVALID_ARGUMENT)

    def authorise(self):
        options = self.server.options
        if not options.user:
            return
        wanted = "Basic " + base64.b64encode(f"{options.user}:{options.password}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            raise Refusal(401, None, {"WWW-Authenticate": 'Basic realm="foreign"'})

    def session_id(self):
        return self.headers.get("BITS-Session-Id", "").upper()

    def session(self):
        session = self.server.sessions.get(self.session_id())
        if session is None or session["path"] != self.path:
            raise Refusal(500, SESSION_NOT_FOUND)
        return session

    def target(self):
        return os.path.join(self.server.options.folder, os.path.basename(self.path))

    def create(self):
        offered = self.headers.get("BITS-Supported-Protocols", "").lower()
        if PROTOCOL not in re.split(r"[ ,]+", offered):
            raise Refusal(400, INVALID_ARGUMENT)
        if os.path.exists(self.target()) and not self.server.options.overwrite:
            raise Refusal(403, ACCESS_DENIED)
        name = "{" + str(uuid.uuid4()).upper() + "}"
        part = os.path.join(self.server.options.folder, ".part" + name)
        open(part, "wb").close()
        self.server.sessions[name] = {"path": self.path, "part": part, "total": None}
        return {"BITS-Protocol": PROTOCOL, "BITS-Session-Id": name, "Accept-Encoding": "identity"}

    def fragment(self, session, length):
        server = self.server
        match = RANGE.match(self.headers.get("Content-Range", ""))
        maximum = server.options.max_fragment
        is_last_before_drop = server.options.drop_after is not None and server.fragments == server.options.drop_after
        if is_last_before_drop and not server.has_dropped:
            server.has_dropped = True
            self.rfile.read(length // 2)
            return None
        body = self.rfile.read(length)
        if maximum is not None and length > maximum:
            raise Refusal(413)
        if match is None:
            raise Refusal(400, INVALID_ARGUMENT)
        first, last, total = (int(text) for text in match.groups())
        if last - first + 1 != length or last >= total or session["total"] not in (None, total):
            raise Refusal(400, INVALID_ARGUMENT)
        received = os.path.getsize(session["part"])
        if first != received:
            raise Refusal(416, "0x0", {"BITS-Received-Content-Range": str(received)})
        if server.options.forget_after == server.fragments and not server.has_forgotten:
            server.has_forgotten = True
            server.sessions.pop(self.session_id())
            raise Refusal(500, SESSION_NOT_FOUND)
        session["total"] = total
        with open(session["part"], "ab") as part:
            part.write(body)
        server.fragments += 1
        # As IIS 6 does: without the session's id.
        return {"BITS-Received-Content-Range": str(received + length)}

    def close(self):
        session = self.session()
        if self.server.failed_closes < self.server.options.fail_closes:
            self.server.failed_closes += 1
            raise Refusal(503)
        if os.path.getsize(session["part"]) != session["total"]:
            raise Refusal(400, INVALID_ARGUMENT)
        os.replace(session["part"], self.target())
        self.server.sessions.pop(self.session_id())
        return {"BITS-Session-Id": self.session_id()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--max-fragment", type=int)
    parser.add_argument("--forget-after", type=int)
    parser.add_argument("--fail-closes", type=int, default=0)
    parser.add_argument("--drop-after", type=int)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--overwrite", action="store_true")
    server = Server(parser.parse_args())
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


main()
