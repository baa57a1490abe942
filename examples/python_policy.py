#!/usr/bin/env python3
"""A scheduling policy in Python: an extender that scores nodes, for `wavetank compare -p examples/python_policy.yaml`.

It keeps machines with GPUs free for pods that want one, and gives those the smallest machine that will do. kube-scheduler
(and wavetank in its place) asks it by HTTP for every pod that has a choice: `prioritize` gets the pod and the nodes that
would do, and gives each 0 to 10. See https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/#Extender.

Equal questions have to get equal answers: no clock, no randomness.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GPU = "nvidia.com/gpu"


def gpus_of(node):
    return int(node["status"].get("allocatable", {}).get(GPU, 0))


def gpus_wanted(pod):
    return sum(int(one.get("resources", {}).get("requests", {}).get(GPU, 0)) for one in pod["spec"]["containers"])


def score(pod, node):
    """0 to 10: the more, the better."""
    if gpus_wanted(pod) == 0:
        return 10 if gpus_of(node) == 0 else 0
    return max(0, 10 - gpus_of(node))


class Extender(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: an answer takes a millisecond instead of forty
    disable_nagle_algorithm = True

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = {key.lower(): value for key, value in asked.items()}
        nodes = asked["nodes"]["items"]
        answer = [{"Host": node["metadata"]["name"], "Score": score(asked["pod"], node)} for node in nodes]
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8888
    server = ThreadingHTTPServer(("127.0.0.1", port), Extender)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
