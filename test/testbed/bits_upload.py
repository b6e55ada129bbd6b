"""Uploads a file by the BITS Upload Protocol; written from [MC-BUP] with Python's http.client alone.

It does what section 3.1.5 asks of a client: Ping, Create-Session, Fragments wherever the server wants to go on,
Close-Session; after a lost connection Ping and on from the last acknowledged offset; after 413 smaller fragments;
after BG_E_SESSION_NOT_FOUND a new session. With --state it goes on where a killed one stopped.

usage: bits_upload.py URL FILE [--fragment BYTES] [--user U --password P] [--ca F] [--cert F --key F]
                      [--state FILE] [--patience SECONDS]

Each acknowledged packet is one JSON line on standard output, and so is the end: {"done": true} or {"refused": …}.
"""
import argparse
import base64
import http.client
import json
import os
import ssl
import sys
import time
from urllib.parse import urlsplit

PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}"
SESSION_NOT_FOUND = 0x8020001F
SMALLEST_FRAGMENT = 5 * 1024
MAX_SESSIONS = 5
ANSWER_TIMEOUT = 300
RETRY_PAUSE = 0.05


class Refused(Exception):
    """An answer after which the client gives up."""

    def __init__(self, packet, status, hresult):
        super().__init__(packet)
        self.fact = {"refused": packet, "status": status, "hresult": None if hresult is None else f"0x{hresult:08X}"}


class SessionLost(Exception):
    """The server does not know the session: begin again."""


def say(**fact):
    print(json.dumps(fact), flush=True)


class Client:
    def __init__(self, options):
        self.options = options
        self.url = urlsplit(options.url)
        self.fragment_bytes = options.fragment
        self.connection = None
        self.deadline = None

    def connect(self):
        if self.url.scheme == "https":
            context = ssl.create_default_context(cafile=self.options.ca)
            if self.options.cert:
                context.load_cert_chain(self.options.cert, self.options.key)
            return http.client.HTTPSConnection(
                self.url.hostname, self.url.port, context=context, timeout=ANSWER_TIMEOUT
            )
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=ANSWER_TIMEOUT)

    def exchange(self, packet, headers, body=b""):
        """One request and its answer; raises OSError or HTTPException when the connection breaks."""
        if self.connection is None:
            self.connection = self.connect()
        connection = self.connection
        connection.putrequest("BITS_POST", self.url.path, skip_accept_encoding=True)
        connection.putheader("BITS-Packet-Type", packet)
        for name, value in headers.items():
            connection.putheader(name, value)
        if self.options.user:
            pair = f"{self.options.user}:{self.options.password}".encode()
            connection.putheader("Authorization", "Basic " + base64.b64encode(pair).decode())
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body:
            connection.send(body)
        answer = connection.getresponse()
        answer.read()
        if answer.getheader("Connection", "").lower() == "close":
            self.disconnect()
        return answer

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def send(self, packet, headers=None, body=b"", final=()):
        """
        Until an answer comes that is 200 or one of `final`. Lost connections and server errors are waited out, each
        time with a Ping first, since that is what sets up a connection.
        """
        is_lost = False
        while True:
            try:
                if is_lost:
                    self.exchange("Ping", {})
                answer = self.exchange(packet, headers or {}, body)
            except (OSError, http.client.HTTPException) as error:
                self.disconnect()
                is_lost = True
                self.wait(packet, str(error))
                continue
            code = answer.getheader("BITS-Error-Code", answer.getheader("BITS-Error"))
            hresult = None if code is None else int(code, 16)
            if hresult == SESSION_NOT_FOUND:
                raise SessionLost()
            if answer.status == 200 or answer.status in final:
                self.deadline = None
                return answer
            if 500 <= answer.status and answer.status != 501 and self.options.patience > 0:
                self.wait(packet, f"status {answer.status}")
                continue
            raise Refused(packet, answer.status, hresult)

    def wait(self, packet, why):
        now = time.monotonic()
        if self.deadline is None:
            self.deadline = now + self.options.patience
        if now >= self.deadline:
            raise SystemExit(f"{packet}: {why}")
        time.sleep(RETRY_PAUSE)

    def create(self):
        answer = self.send("Create-Session", {"BITS-Supported-Protocols": PROTOCOL})
        if answer.getheader("BITS-Protocol", "").lower() != PROTOCOL:
            raise SystemExit("the server speaks another protocol")
        session = answer.getheader("BITS-Session-Id")
        say(ack="create", session=session)
        return session

    def upload(self, file, size, session, offset):
        while offset < size:
            file.seek(offset)
            data = file.read(min(self.fragment_bytes, size - offset))
            if not data:
                raise SystemExit("the file became shorter")
            headers = {
                "BITS-Session-Id": session,
                "Content-Range": f"bytes {offset}-{offset + len(data) - 1}/{size}",
            }
            answer = self.send("Fragment", headers, data, final=(413, 416))
            if answer.status == 413:
                if self.fragment_bytes <= SMALLEST_FRAGMENT:
                    raise Refused("Fragment", 413, None)
                self.fragment_bytes = max(SMALLEST_FRAGMENT, self.fragment_bytes // 2)
                say(smaller=self.fragment_bytes)
                continue
            offset = int(answer.getheader("BITS-Received-Content-Range"))
            self.remember(session, offset)
            say(ack="fragment", status=answer.status, received=offset)
        self.send("Close-Session", {"BITS-Session-Id": session})

    def remember(self, session, offset):
        if self.options.state is None:
            return
        with open(self.options.state + ".new", "w", encoding="utf-8") as out:
            json.dump({"session": session, "offset": offset}, out)
        os.replace(self.options.state + ".new", self.options.state)

    def remembered(self):
        try:
            with open(self.options.state or "", encoding="utf-8") as source:
                state = json.load(source)
            return state["session"], state["offset"]
        except FileNotFoundError:
            return None, 0

    def run(self):
        size = os.path.getsize(self.options.file)
        self.send("Ping")
        say(ack="ping")
        session, offset = self.remembered()
        with open(self.options.file, "rb") as file:
            for _ in range(MAX_SESSIONS):
                if session is None:
                    session, offset = self.create(), 0
                    self.remember(session, offset)
                try:
                    self.upload(file, size, session, offset)
                    return
                except SessionLost:
                    session = None
        raise SystemExit("the server forgets every session")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("file")
    parser.add_argument("--fragment", type=int, default=4 * 1024 * 1024)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--ca")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--state")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait out lost connections and 5xx")
    client = Client(parser.parse_args())
    try:
        client.run()
    except Refused as refused:
        say(**refused.fact)
        sys.exit(1)
    say(done=True)


main()
