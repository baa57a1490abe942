"""A sweep on Ray: every task does one part, then the parts are put together.

    pip install ray==2.60.0
    python examples/ray_sweep.py PARTS OUT SCENARIO --param PATH=VALUES ...

Every machine needs the wavetank program and the files of the work, and OUT has to be a directory that all of them share.
WAVETANK names the program where it is not on PATH.
"""

import os
import subprocess
import sys

import ray

WAVETANK = os.environ.get("WAVETANK", "wavetank")


@ray.remote(num_cpus=1)
def part(index, parts, out, words):
    shard = ["--shard", f"{index}/{parts}", "--jobs", "1", "--resume", "--out", f"{out}/part-{index}"]
    subprocess.run([WAVETANK, "sweep", *words, *shard], check=True)
    return f"{out}/part-{index}"


parts, out, words = int(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3:]
ray.init()  # or address="auto" on a cluster
done = ray.get([part.remote(index, parts, out, words) for index in range(1, parts + 1)])
subprocess.run([WAVETANK, "merge", *done, "--out", f"{out}/whole"], check=True)
