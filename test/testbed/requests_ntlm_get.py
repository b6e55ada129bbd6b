"""GETs a URL several times in one session with requests-ntlm; prints one JSON line with the status of each answer.

usage: requests_ntlm_get.py URL USER PASSWORD CA|- CBT|PLAIN [REQUESTS]
"""
import json
import sys

import requests
from requests_ntlm import HttpNtlmAuth

url, user, password, ca, binding, *rest = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.auth = HttpNtlmAuth(user, password, send_cbt=binding == "CBT")
if ca != "-":
    session.verify = ca
statuses = []
for _ in range(int(rest[0]) if rest else 1):
    statuses.append(session.get(url, headers={"Range": "bytes=0-1023"}, timeout=20).status_code)
print(json.dumps(statuses))
